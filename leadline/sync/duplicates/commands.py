"""The commands of a search, which many users share."""

from collections.abc import Iterator, Sequence

from leadline.bitrix24 import duplicates, leads
from leadline.bitrix24.command import Command
from leadline.bitrix24.duplicates import Kind
from leadline.bitrix24.lead_fields.contact_details import ContactDetails
from leadline.settings import settings
from leadline.workqueue.entries.entry import Entry

#: Maximum number of leads or contacts in a `Read` that users share: fewer than a page.
READ_MAX = leads.PAGE - 1

#: The commands of each user, by user id and key; a search's key ends in the kind of entity.
CommandsByUser = dict[int, dict[str, Command]]
LEADS, CONTACTS = "leads", "contacts"


def finds_leads() -> bool:
    """Whether a search covers leads: a user may be linked to an existing one, or held."""
    return bool(settings().duplicates & {"link", "hold"})


def finds_contacts() -> bool:
    """Whether a search covers contacts: a new lead may be attached to an existing one."""
    return "contact" in settings().duplicates


def find_commands(entries: Sequence[Entry]) -> CommandsByUser:
    """The commands that find leads and contacts for these users."""
    by_user: CommandsByUser = {entry.user_id: {} for entry in entries}
    for kind in duplicates.KINDS:
        for number, (group, values) in enumerate(_find_groups(entries, kind)):
            commands = {}
            if finds_leads():
                key = f"find_{kind.lower()}_{LEADS}{number}"
                commands[key] = duplicates.find(kind, values, "LEAD")
            if finds_contacts():
                key = f"find_{kind.lower()}_{CONTACTS}{number}"
                commands[key] = duplicates.find(kind, values, "CONTACT")
            for entry in group:
                by_user[entry.user_id] |= commands
    return by_user


def _find_groups(entries: Sequence[Entry], kind: Kind) -> Iterator[tuple[list[Entry], list[str]]]:
    """Groups of users that share a search, each with the values to search for."""
    searched = [
        (entry, values)
        for entry in entries
        if entry.state and (values := duplicates.values_of(ContactDetails.of(entry.state), kind))
    ]
    yield from (([entry], list(values)) for entry, values in searched if entry.needs_own_request)
    sharing = [(entry, values) for entry, values in searched if not entry.needs_own_request]
    for group in duplicates.group_by_command([values for _, values in sharing]):
        members = [sharing[position] for position in group]
        yield [entry for entry, _ in members], [value for _, values in members for value in values]


def read_commands(entries: Sequence[Entry]) -> CommandsByUser:
    """The commands that read the leads and contacts found for these users."""
    by_user: CommandsByUser = {}
    for number, group in enumerate(_read_groups(entries)):
        lead_ids, contact_ids = _ids(group)
        commands = {}
        if lead_ids:
            commands[f"read_{LEADS}{number}"] = leads.list_by_ids(sorted(lead_ids))
        if contact_ids:
            commands[f"read_{CONTACTS}{number}"] = duplicates.list_contacts_by_ids(
                sorted(contact_ids)
            )
        by_user |= dict.fromkeys((entry.user_id for entry in group), commands)
    return by_user


def is_for(key: str, entity: str) -> bool:
    """Whether the command with this key is for this kind of entity, LEADS or CONTACTS."""
    return key.rstrip("0123456789").endswith(entity)


def _read_groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    groups: list[list[Entry]] = []
    for entry in entries:
        joined = [*groups[-1], entry] if groups else [entry]
        fits = all(len(ids) <= READ_MAX for ids in _ids(joined))
        if groups and fits and not entry.needs_own_request:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _ids(group: Sequence[Entry]) -> tuple[set[int], set[int]]:
    """The ids of the leads and of the contacts found for these users."""
    searches = [entry.search for entry in group if entry.search]
    lead_ids = {lead_id for search in searches for lead_id in search.lead_ids}
    return lead_ids, {contact_id for search in searches for contact_id in search.contact_ids}

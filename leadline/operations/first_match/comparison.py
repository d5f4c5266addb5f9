"""Compares a group of users with the portal's leads, and makes their lines."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from leadline.bitrix24 import duplicates, lead_parsing
from leadline.bitrix24.duplicates import Entity, Kind
from leadline.bitrix24.lead_fields.contact_details import ContactDetails
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import PAGE
from leadline.operations.first_match import match_keys
from leadline.operations.first_match.lines import Line, line_for, matching
from leadline.sync.duplicates.commands import finds_contacts
from leadline.sync.reconcile import compare, scan, throttled_reads
from leadline.sync.reconcile.originator import originator_id
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids of leads and contacts that may have the phones or e-mails of a group of users."""

    lead_ids: Collection[int]
    contact_ids: Collection[int] = ()


def lines_of(
    users: Sequence[UserSnapshot], find: Callable[[Sequence[UserSnapshot]], Candidates]
) -> dict[int, Line | None]:
    """The line of each user, by id; None if nothing would be written.

    `find` finds leads and contacts by phones and e-mails of the users that have no lead.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached.
    """
    originator = originator_id()
    by_origin = scan.fetch_by_origin([user.id for user in users], ignore_hold=True)
    not_found = [user.lead_id for user in users if user.lead_id and user.id not in by_origin]
    by_id = scan.fetch_by_id(not_found, ignore_hold=True)
    without_lead = {
        user.id: user
        for user in users
        if not compare.leads_of(
            user, by_origin.get(user.id, ()), by_id.get(user.lead_id or 0), originator
        )
    }
    found = find([*without_lead.values()])
    leads = match_keys.group_by_key(_free_leads(found.lead_ids))
    contacts = match_keys.group_by_key(_fetch_contacts(found.contact_ids))
    lines: dict[int, Line | None] = {}
    for user in users:
        lacks_lead = user.id in without_lead
        candidates = matching(user, match_keys.sharing_key(user, leads)) if lacks_lead else []
        named_lead = by_id.get(user.lead_id or 0)
        line = line_for(user, by_origin.get(user.id, ()), named_lead, candidates, originator)
        if line is not None and lacks_lead:
            line = replace(line, contact_ids=_matching_contacts(user, contacts))
        lines[user.id] = line
    return lines


def _matching_contacts(user: UserSnapshot, contacts: dict[int, list[FoundLead]]) -> tuple[int, ...]:
    """The ids of the contacts that have the user's phone or one of its e-mails."""
    details = ContactDetails.of(user)
    return tuple(
        contact.lead_id  # a contact's id: contacts are parsed like leads
        for contact in match_keys.sharing_key(user, contacts)
        if contact.contact_details.matches(details)
    )


def find_in_portal(users: Sequence[UserSnapshot]) -> Candidates:
    """Find leads and contacts of these users by the portal's search.

    Raises:
        BitrixError, QueueDown: as `lines_of`.
    """
    details = [ContactDetails.of(user) for user in users]
    ids: dict[Entity, set[int]] = {"LEAD": set(), "CONTACT": set()}
    for entity in ids:
        if entity == "LEAD" or finds_contacts():
            for kind in duplicates.KINDS:
                values = [duplicates.values_of(detail, kind) for detail in details]
                ids[entity] |= _find(
                    entity, kind, [user_values for user_values in values if user_values]
                )
    return Candidates(ids["LEAD"], ids["CONTACT"])


def _find(entity: Entity, kind: Kind, values: Sequence[tuple[str, ...]]) -> set[int]:
    """The ids of the leads or contacts that the portal finds by these values, a tuple per user.

    Users whose shared answer is full are looked up one by one.
    """
    groups = duplicates.group_by_command(values)
    ids, overfull = _search(
        entity, kind, [[values[position] for position in group] for group in groups]
    )
    ids_of_single, _ = _search(entity, kind, [[user_values] for user_values in overfull])
    return ids | ids_of_single


def _search(
    entity: Entity, kind: Kind, groups: Sequence[Sequence[tuple[str, ...]]]
) -> tuple[set[int], list[tuple[str, ...]]]:
    """The ids for these groups, and the values of groups that may have more."""
    commands = {
        f"f{number}": duplicates.find(kind, [value for values in group for value in values], entity)
        for number, group in enumerate(groups)
    }
    answers = throttled_reads.read_all(commands, ignore_hold=True) if commands else {}
    ids: set[int] = set()
    overfull: list[tuple[str, ...]] = []
    for number, group in enumerate(groups):
        answer = duplicates.parse_found(answers[f"f{number}"], entity)
        ids.update(answer.ids)
        if not answer.is_complete:
            overfull += group
    return ids, overfull


def _free_leads(lead_ids: Iterable[int]) -> list[FoundLead]:
    """The leads with these ids that no user has, oldest first."""
    ids = sorted(lead_ids)
    owners = snapshots.owners_of(ids)
    leads_by_id = scan.fetch_by_id(
        [lead_id for lead_id in ids if lead_id not in owners], ignore_hold=True
    )
    return [leads_by_id[lead_id] for lead_id in sorted(leads_by_id)]


def _fetch_contacts(contact_ids: Iterable[int]) -> list[FoundLead]:
    ids = sorted(contact_ids)
    commands = {
        f"c{start}": duplicates.list_contacts_by_ids(ids[start : start + PAGE])
        for start in range(0, len(ids), PAGE)
    }
    pages = throttled_reads.read_all(commands, ignore_hold=True).values()
    return [contact for page in pages for contact in lead_parsing.parse_leads(page)]

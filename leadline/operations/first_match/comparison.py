"""Compares a group of users with the portal's leads, and makes their lines."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from leadline.bitrix24 import duplicates, lead_parsing
from leadline.bitrix24.command import Command
from leadline.bitrix24.duplicates import Entity
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import PAGE
from leadline.operations.first_match.lines import Line, line_for, matching
from leadline.sync.duplicates.commands import finds_contacts
from leadline.sync.reconcile import compare, scan, throttled_reads
from leadline.sync.reconcile.originator import originator_id
from leadline.users import phones, snapshots
from leadline.users.snapshots import UserSnapshot

#: Users whose phones are found by one command, each in up to three notations.
_USERS_PER_FIND = duplicates.VALUES_MAX // 3


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids of leads and contacts that may have the phones of a group of users."""

    lead_ids: Collection[int]
    contact_ids: Collection[int] = ()


def lines_of(
    users: Sequence[UserSnapshot], find: Callable[[Sequence[UserSnapshot]], Candidates]
) -> dict[int, Line | None]:
    """The line of each user, by id; None if it is linked.

    `find` finds leads and contacts by the phones of the users that have no lead.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached.
    """
    originator = originator_id()
    by_origin = scan.fetch_by_origin([user.id for user in users], while_held=True)
    not_found = [user.lead_id for user in users if user.lead_id and user.id not in by_origin]
    by_id = scan.fetch_by_id(not_found, while_held=True)
    without = [
        user
        for user in users
        if not compare.ours_of(
            user, by_origin.get(user.id, ()), by_id.get(user.lead_id or 0), originator
        )
    ]
    found = find(without)
    leads = _by_tail(_free_leads(found.lead_ids))
    contacts = _by_tail(_fetch_contacts(found.contact_ids))
    without_ids = {user.id for user in without}
    made: dict[int, Line | None] = {}
    for user in users:
        is_without, key = user.id in without_ids, phones.tail(user.phone)
        candidates = matching(user, leads.get(key, ())) if is_without else []
        named = by_id.get(user.lead_id or 0)
        line = line_for(user, by_origin.get(user.id, ()), named, candidates, originator)
        if line is not None and is_without:
            having = [
                contact.lead_id
                for contact in contacts.get(key, ())
                if contact.has_phone(user.phone)
            ]
            line = replace(line, contact_ids=tuple(having))
        made[user.id] = line
    return made


def find_by_phones(users: Sequence[UserSnapshot]) -> Candidates:
    """Find leads and contacts by asking the portal.

    Raises:
        BitrixError, QueueDown: as `lines_of`.
    """
    groups = [users[at : at + _USERS_PER_FIND] for at in range(0, len(users), _USERS_PER_FIND)]
    found: dict[Entity, set[int]] = {"LEAD": set(), "CONTACT": set()}
    for entity in found:
        if entity == "LEAD" or finds_contacts():
            found[entity] = _find(entity, groups)
    return Candidates(found["LEAD"], found["CONTACT"])


def _find(entity: Entity, groups: Sequence[Sequence[UserSnapshot]]) -> set[int]:
    """The ids for all groups; a group with more than an answer holds is looked up one by one."""
    ids: set[int] = set()
    commands = {f"f{at}": _command(entity, group) for at, group in enumerate(groups)}
    answers = throttled_reads.read_all(commands, while_held=True)
    overfull: list[UserSnapshot] = []
    for at, group in enumerate(groups):
        found = duplicates.parse_found(answers[f"f{at}"], entity)
        ids.update(found.ids)
        if not found.is_complete and len(group) > 1:
            overfull += group
    return ids | _find(entity, [[user] for user in overfull]) if overfull else ids


def _command(entity: Entity, users: Sequence[UserSnapshot]) -> Command:
    return duplicates.find(
        [notation for user in users for notation in phones.notations(user.phone)], entity
    )


def _free_leads(lead_ids: Iterable[int]) -> list[FoundLead]:
    """The leads with these ids that no user has, oldest first."""
    ids = sorted(lead_ids)
    taken = snapshots.owners_of(ids)
    found = scan.fetch_by_id([lead_id for lead_id in ids if lead_id not in taken], while_held=True)
    return [found[lead_id] for lead_id in sorted(found)]


def _fetch_contacts(contact_ids: Iterable[int]) -> list[FoundLead]:
    ids = sorted(contact_ids)
    commands = {
        f"c{at}": duplicates.list_contacts_by_ids(ids[at : at + PAGE])
        for at in range(0, len(ids), PAGE)
    }
    pages = throttled_reads.read_all(commands, while_held=True).values()
    return [contact for page in pages for contact in lead_parsing.parse_leads(page)]


def _by_tail(found: Iterable[FoundLead]) -> dict[int | None, list[FoundLead]]:
    """Leads or contacts by the last digits of each of their phones."""
    grouped: dict[int | None, list[FoundLead]] = defaultdict(list)
    for lead in found:
        for key in {phones.tail(number) for number, _ in lead.phones}:
            grouped[key].append(lead)
    return grouped

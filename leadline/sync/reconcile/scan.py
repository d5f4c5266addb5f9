"""Scans all users against their leads, then all our leads against their users.

The first pass finds missing, duplicate and drifted leads; the second, leads whose user does not
exist. Both proceed in parts, so that a run can be resumed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from leadline.bitrix24 import lead_parsing, leads
from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.sync.reconcile import compare, throttled_reads
from leadline.sync.reconcile.compare import Finding
from leadline.sync.reconcile.originator import originator_id
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot

#: Lookups in a call: few enough for it to end within a second or two.
LOOKUPS_PER_CALL = 20
USERS_PER_CALL = LOOKUPS_PER_CALL * leads.LOOKUP_MAX
#: Pages of leads in a call.
PAGES_PER_CALL = 10


@dataclass(frozen=True, slots=True)
class Position:
    """The progress of a run: its current pass, and the last user or lead compared in it."""

    #: The current pass; named as in checkpoints.
    walk: Literal["users", "leads", "done"] = "users"
    after: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """The findings of one part, and where the next one begins."""

    findings: list[Finding]
    #: Number of users or leads compared.
    seen: int
    next: Position


def parts(position: Position) -> Iterator[Part]:
    """The remaining parts, a few calls each.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached.
    """
    while position.walk != "done":
        part = (
            _scan_users(position.after) if position.walk == "users" else _scan_leads(position.after)
        )
        yield part
        position = part.next


def _scan_users(after: int) -> Part:
    users = snapshots.after(after, USERS_PER_CALL)
    if not users:
        return Part([], seen=0, next=Position("leads"))
    findings = _compare_users([user for user in users if user.status != "waiting"])
    read_before = {user.id: user for user in users}
    to_confirm = [finding.user_id for finding in findings if finding.kind != "ok"]
    read_after = snapshots.by_ids([user_id for user_id in to_confirm if user_id is not None])

    def confirmed(finding: Finding) -> Finding:
        """The finding, unless the user was written meanwhile: then it proves nothing."""
        user_id = finding.user_id
        if finding.kind == "ok" or user_id is None:
            return finding
        is_unchanged = read_after.get(user_id) == read_before[user_id]
        return finding if is_unchanged else Finding("waiting", user_id)

    waiting = [Finding("waiting", user.id) for user in users if user.status == "waiting"]
    valid = map(confirmed, findings)
    return Part([*valid, *waiting], len(users), Position("users", users[-1].id))


def _compare_users(users: list[UserSnapshot]) -> list[Finding]:
    by_origin = fetch_by_origin([user.id for user in users])
    not_found = [user.lead_id for user in users if user.lead_id and user.id not in by_origin]
    by_id = fetch_by_id(not_found)
    originator = originator_id()
    return [
        compare.compare(user, by_origin.get(user.id, ()), by_id.get(user.lead_id or 0), originator)
        for user in users
    ]


def fetch_by_origin(
    user_ids: list[int], *, ignore_hold: bool = False
) -> dict[int, list[FoundLead]]:
    """All leads of these users, by user id; arguments and errors as `throttled_reads.read_all`."""
    by_user: dict[int, list[FoundLead]] = {}
    overfull: list[int] = []
    for group, page in _fetch_pages(user_ids, leads.LOOKUP_MAX, ignore_hold=ignore_hold):
        if len(page) >= leads.PAGE and len(group) > 1:
            overfull += group  # more leads than fit on the page: look each user up separately
            continue
        for lead in page:
            by_user.setdefault(int(lead.origin), []).append(lead)
    for group, page in _fetch_pages(overfull, 1, ignore_hold=ignore_hold):
        if page:
            by_user[group[0]] = page
    return by_user


def _fetch_pages(
    user_ids: list[int], size: int, *, ignore_hold: bool
) -> Iterator[tuple[list[int], list[FoundLead]]]:
    originator = originator_id()
    groups = {f"g{number}": group for number, group in enumerate(_groups(user_ids, size))}
    answers = throttled_reads.read_all(
        {key: leads.list_by_origins(group, originator) for key, group in groups.items()},
        ignore_hold=ignore_hold,
    )
    for key, group in groups.items():
        origins = {str(user_id) for user_id in group}
        yield (
            group,
            [lead for lead in lead_parsing.parse_leads(answers[key]) if lead.origin in origins],
        )


def fetch_by_id(lead_ids: list[int], *, ignore_hold: bool = False) -> dict[int, FoundLead]:
    """The leads with these ids that exist, by id; otherwise as `throttled_reads.read_all`."""
    groups = {
        f"i{number}": leads.list_by_ids(ids)
        for number, ids in enumerate(_groups(lead_ids, leads.PAGE))
    }
    return {
        lead.lead_id: lead
        for page in throttled_reads.read_all(groups, ignore_hold=ignore_hold).values()
        for lead in lead_parsing.parse_leads(page)
    }


def _scan_leads(after: int) -> Part:
    """Compare the next of our leads, by id."""
    page = fetch_next_pages(after, throttled_reads.read_all)
    if not page:
        return Part([], seen=0, next=Position("done"))
    claimed = {int(lead.origin) for lead in page if is_user_id(lead.origin)}
    existing = snapshots.by_ids(sorted(claimed))
    foreign = [
        Finding("foreign", None, (lead.lead_id,))
        for lead in page
        if not is_user_id(lead.origin) or int(lead.origin) not in existing
    ]
    return Part(foreign, len(page), Position("leads", page[-1].lead_id))


def fetch_next_pages(
    after: int,
    read: Callable[[dict[str, Command]], dict[str, CommandResult]],
    list_after: Callable[[str], Command] | None = None,
) -> list[FoundLead]:
    """The leads of consecutive pages, fetched in one call, as far as each follows the previous one.

    The start of a page refers to the last lead of the previous page. If the previous page was not
    full, the page has arbitrary leads and is ignored.
    `list_after` makes the command of a page; by default, of our leads.
    """
    answers = read(_page_commands(after, list_after or _list_ours_after))
    consecutive: list[FoundLead] = []
    for number in range(PAGES_PER_CALL):
        page = lead_parsing.parse_leads(answers[f"p{number}"])
        if not page or page[0].lead_id <= (consecutive[-1].lead_id if consecutive else after):
            break
        consecutive += page
        if len(page) < leads.PAGE:
            break
    return consecutive


def _list_ours_after(after: str) -> Command:
    return leads.list_after(after, originator_id())


def _page_commands(after: int, list_after: Callable[[str], Command]) -> dict[str, Command]:
    """Commands for pages that each begin where the previous one ends, within one batch."""
    starts = [
        str(after),
        *(f"$result[p{page}][{leads.PAGE - 1}][ID]" for page in range(PAGES_PER_CALL - 1)),
    ]
    return {f"p{page}": list_after(start) for page, start in enumerate(starts)}


def is_user_id(origin: str) -> bool:
    """Whether a lead's origin is a valid user id: a positive `bigint`, without leading zeros."""
    return origin.isascii() and origin.isdigit() and 0 < int(origin) < 2**63 and origin[0] != "0"


def _groups(ids: list[int], size: int) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]

"""Applies a plan: enters an event for each line whose user and lead are unchanged.

An event takes the path of every write, so limits, retries, lost answers and kills are handled as
for any write. Lines whose user or lead changed since the plan was made are skipped and reported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.messages.attributes import QUIET
from leadline.operations.first_match import comparison, plans
from leadline.operations.first_match.comparison import Candidates
from leadline.operations.first_match.lines import APPLIED, Line
from leadline.operations.first_match.plans import Plan, StoredLine
from leadline.runtime.postgres.pool import UNIQUE_VIOLATION, StatementError
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot

#: Lines that are compared again and entered at a time.
BATCH = 200


@dataclass(frozen=True, slots=True)
class AppliedLines:
    """The result of applying some lines."""

    #: Users for whom an event was entered.
    entered: list[int]
    #: Users that were skipped: they, or their leads, changed since the plan was made.
    changed: list[int]


def steps(plan: Plan, *, quiet: bool = False) -> Iterator[AppliedLines]:
    """Apply the lines that have no outcome yet, a batch at a time.

    `quiet`: new leads start no robots, if the portal allows imports.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached; safe to repeat.
    """
    while batch := plans.lines(plan, BATCH, kinds=APPLIED, only_open=True):
        yield _apply(plan, batch, (QUIET,) if quiet else ())
    plans.mark_applied(plan)


def _apply(plan: Plan, batch: Sequence[StoredLine], attributes: Sequence[str]) -> AppliedLines:
    versions = {line["user_id"]: line["version"] for line in batch}
    # A user that was erased since has no snapshot.
    unchanged_users = [
        user
        for user in snapshots.by_ids(list(versions)).values()
        if user.version == versions[user.id]
    ]
    new_lines = comparison.lines_of(unchanged_users, lambda users: _candidates(users, batch))
    valid = [line for line in batch if _is_unchanged(line, new_lines.get(line["user_id"]))]
    entered = _enter(plan, valid, attributes)
    skipped = [line for line in batch if line["user_id"] not in entered]
    plans.store_outcome(plan, [line["number"] for line in skipped], "changed")
    return AppliedLines(sorted(entered), sorted(line["user_id"] for line in skipped))


def _candidates(users: Sequence[UserSnapshot], batch: Sequence[StoredLine]) -> Candidates:
    """The candidates that the portal's search finds now, and those of the plan.

    The plan has read all leads, and finds phones that the search misses.
    """
    candidates = comparison.find_in_portal(users)
    lead_ids = {lead_id for line in batch for lead_id in line["lead_ids"]}
    contact_ids = {contact_id for line in batch for contact_id in line["contact_ids"]}
    return Candidates(
        lead_ids | set(candidates.lead_ids), contact_ids | set(candidates.contact_ids)
    )


def _is_unchanged(stored: StoredLine, new: Line | None) -> bool:
    return new is not None and (
        new.kind,
        new.lead_id,
        list(new.contact_ids),
        new.changes,
    ) == (stored["kind"], stored["lead_id"], stored["contact_ids"], stored["changes"])


def _enter(plan: Plan, valid: Sequence[StoredLine], attributes: Sequence[str]) -> set[int]:
    """Enter the events of these lines and mark them, in one statement; returns the users.

    If another user got one of the leads in the meantime, the statement fails, and each line is
    entered alone.
    """
    requests = [_request(plan, line) for line in valid]
    try:
        return set(resync_events.request(requests, also=attributes))
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
        if len(requests) == 1:
            return set()
    return {user_id for line in valid for user_id in _enter(plan, [line], attributes)}


def _request(plan: Plan, line: StoredLine) -> ResyncRequest:
    return ResyncRequest(
        line["user_id"],
        line["version"],
        with_stage="stage" in line["changes"],
        even_waiting=True,
        lead_id=line["lead_id"] if line["kind"] == "match" else None,
        match_line=(plan.id, line["number"]),
    )

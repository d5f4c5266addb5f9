"""Resync: enter an event that changes no field and makes a worker look the lead up and repair it.

The event takes the path of every write: a new version in the ledger, published by the relay,
applied by a worker, settled by a reply. So every guarantee for writes holds for repairs too. The
resync of an erased user erases the person from its lead again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from leadline.messages.attributes import ERASE, LOOK
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import Row
from leadline.runtime.telemetry import trace_context

_ENTER = """{requested}, locked AS (
    -- In id order, so that statements cannot deadlock with each other.
    SELECT users.id, with_stage, event_id, lead_id
    FROM users JOIN requested ON requested.user_id = users.id
    WHERE users.version = seen_version AND (sync_status <> 'waiting' OR even_waiting) OR force
    ORDER BY users.id FOR NO KEY UPDATE OF users
), written AS (
    UPDATE users SET version = version + 1,
        stage_version = CASE WHEN with_stage THEN version + 1 ELSE stage_version END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0,
        bitrix_lead_id = COALESCE(locked.lead_id, bitrix_lead_id)
    FROM locked
    WHERE users.id = locked.id
    RETURNING users.id, version, full_name, phone, stage, fields, stage_version, synced_version,
              event_id,
              CASE WHEN erased_at IS NULL THEN :changed ELSE :erased END AS changed
), entered AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, fields, changed,
                        stage_version, correlation_id, traceparent, caller, due_at)
    SELECT event_id, id, version, 'update_card', full_name, phone, stage, fields, changed,
           CASE WHEN stage_version > synced_version THEN stage_version END,
           :correlation_id, :traceparent, :caller, now()
    FROM written
    RETURNING user_id
){further_ctes}
SELECT user_id FROM entered
"""

_REQUESTED_USERS = """
WITH requested AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[]),
                         CAST(:event_ids AS uuid[]), CAST(:with_stage AS boolean[]),
                         CAST(:force AS boolean[]), CAST(:even_waiting AS boolean[]),
                         CAST(:lead_ids AS bigint[]))
        AS requested (user_id, seen_version, event_id, with_stage, force, even_waiting, lead_id),
        leadline_present()
)"""

# Lines of a plan, in the same statement: a line is applied once, even after a kill.
_MARK_LINES = """, marked AS (
    UPDATE match_lines SET outcome = 'entered'
    FROM unnest(CAST(:plan_ids AS bigint[]), CAST(:numbers AS bigint[])) AS line (plan_id, number),
         entered
    WHERE match_lines.plan_id = line.plan_id AND match_lines.number = line.number
      AND match_lines.user_id = entered.user_id
)"""


@dataclass(frozen=True, slots=True)
class ResyncRequest:
    """A user to resync."""

    user_id: int
    #: The version when the user was read; unless forced, a user written since is skipped.
    version: int
    #: Write the stage too, even over a change made in the CRM.
    with_stage: bool = False
    #: Enter the event even if the user changed since or is waiting.
    force: bool = False
    #: Enter the event even if the user is waiting.
    even_waiting: bool = False
    #: The lead to link the user to; None: no change.
    lead_id: int | None = None
    #: The line of a plan that this request applies: the plan's id, and the line's number.
    match_line: tuple[int, int] | None = None


def request(users: Iterable[ResyncRequest], *, also: Sequence[str] = ()) -> list[int]:
    """Enter resync events; returns the ids of the users that were not skipped.

    `also`: further instructions to the worker, `attributes.CREATE` and `QUIET`.

    Raises:
        DatabaseDown: nothing was entered, or the outcome is unknown; safe to repeat.
        StatementError: another user has one of the leads; nothing was entered.
    """
    requests = list(users)
    if not requests:
        return []
    lines = [resync.match_line for resync in requests if resync.match_line]
    line_params: dict[str, object] = {}
    if lines:
        plan_ids, numbers = zip(*lines, strict=True)
        line_params = {"plan_ids": [*plan_ids], "numbers": [*numbers]}
    rows = enter_events(
        _REQUESTED_USERS,
        further_ctes=_MARK_LINES if lines else "",
        changed=",".join((LOOK, *also)),
        **line_params,
        ids=[resync.user_id for resync in requests],
        versions=[resync.version for resync in requests],
        event_ids=[str(uuid7()) for _ in requests],
        with_stage=[resync.with_stage for resync in requests],
        force=[resync.force for resync in requests],
        even_waiting=[resync.even_waiting for resync in requests],
        lead_ids=[resync.lead_id for resync in requests],
    )
    return sorted(int(row["user_id"]) for row in rows)


def enter_events(
    requested: str, *, changed: str = LOOK, further_ctes: str = "", **params: object
) -> list[Row]:
    """Enter resync events for the users that the SQL `requested` selects, as a CTE of this name.

    `changed`: the instructions to the worker. `further_ctes`: SQL that may use the CTE `entered`.
    Returns the `user_id` of each event that was entered.

    Raises:
        DatabaseDown: as `request`.
    """
    trace = trace_context.current()
    return run_in_current_history(
        _ENTER.format(requested=requested, further_ctes=further_ctes),
        changed=changed,
        erased=ERASE,
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        caller=trace_context.caller() or None,
        **params,
    )

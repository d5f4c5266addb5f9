"""Resync: enter an event that changes no field and makes a worker look the lead up and repair it.

The event takes the path of every write: a new version in the ledger, published by the relay,
applied by a worker, settled by a reply. So every guarantee for writes holds for repairs too. The
resync of an erased user erases what its lead has of the person again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from leadline.messages.attributes import ERASE, LOOK
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import Row
from leadline.runtime.telemetry import trace_context

_ENTER = """{requested}, held AS (
    -- In id order, so that statements cannot deadlock with each other.
    SELECT users.id, with_stage, event_id FROM users JOIN requested ON requested.user_id = users.id
    WHERE users.version = seen_version AND sync_status <> 'waiting' OR force
    ORDER BY users.id FOR NO KEY UPDATE OF users
), written AS (
    UPDATE users SET version = version + 1,
        stage_version = CASE WHEN with_stage THEN version + 1 ELSE stage_version END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0
    FROM held
    WHERE users.id = held.id
    RETURNING users.id, version, full_name, phone, stage, fields, stage_version, synced_version,
              event_id,
              CASE WHEN erased_at IS NULL THEN :changed ELSE :erased END AS changed
)
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, fields, changed,
                    stage_version, correlation_id, traceparent, caller, due_at)
SELECT event_id, id, version, 'update_card', full_name, phone, stage, fields, changed,
       CASE WHEN stage_version > synced_version THEN stage_version END,
       :correlation_id, :traceparent, :caller, now()
FROM written
RETURNING user_id
"""

_REQUESTED = """
WITH requested AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[]),
                         CAST(:event_ids AS uuid[]), CAST(:with_stage AS boolean[]),
                         CAST(:force AS boolean[]))
        AS requested (user_id, seen_version, event_id, with_stage, force), leadline_present()
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


def request(users: Iterable[ResyncRequest]) -> list[int]:
    """Enter resync events; returns the ids of the users that were not skipped.

    Raises:
        DatabaseDown: nothing was entered, or the outcome is unknown; safe to repeat.
    """
    requests = list(users)
    if not requests:
        return []
    rows = enter_events(
        _REQUESTED,
        ids=[each.user_id for each in requests],
        versions=[each.version for each in requests],
        event_ids=[str(uuid7()) for _ in requests],
        with_stage=[each.with_stage for each in requests],
        force=[each.force for each in requests],
    )
    return sorted(int(row["user_id"]) for row in rows)


def enter_events(requested: str, **params: object) -> list[Row]:
    """Enter resync events for the users in the CTE `requested`, defined by the given SQL.

    Returns rows of `user_id`.

    Raises:
        DatabaseDown: as `request`.
    """
    trace = trace_context.current()
    return run_in_current_history(
        _ENTER.format(requested=requested),
        changed=LOOK,
        erased=ERASE,
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        caller=trace_context.caller() or None,
        **params,
    )

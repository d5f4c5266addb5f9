"""Ask for a user's lead once more: an event that changes nothing and has the lead looked at.

It goes the way of every write: a version of its own in the ledger, published by the relay, applied
by a worker, answered. So nothing that holds for writes needs to be shown again for repairs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from leadline.messages.cloudevents import LOOK
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import Row
from leadline.runtime.telemetry import trace_context

_ENTER = """{asked}, held AS (
    -- In the order of ids, so that statements never wait for each other in a ring.
    SELECT users.id, with_stage, event_id FROM users JOIN asked ON asked.user_id = users.id
    WHERE users.version = seen_version AND sync_status <> 'waiting' OR is_certain
    ORDER BY users.id FOR NO KEY UPDATE OF users
), written AS (
    UPDATE users SET version = version + 1,
        stage_version = CASE WHEN with_stage THEN version + 1 ELSE stage_version END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0
    FROM held
    WHERE users.id = held.id
    RETURNING users.id, version, full_name, phone, stage, stage_version, synced_version, event_id
)
INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                    stage_version, correlation_id, traceparent, caller, due_at)
SELECT event_id, id, version, 'update_card', full_name, phone, stage, :changed,
       CASE WHEN stage_version > synced_version THEN stage_version END,
       :correlation_id, :traceparent, :caller, now()
FROM written
RETURNING user_id
"""

_ASKED = """
WITH asked AS (
    SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[]),
                         CAST(:event_ids AS uuid[]), CAST(:with_stage AS boolean[]),
                         CAST(:is_certain AS boolean[]))
        AS asked (user_id, seen_version, event_id, with_stage, is_certain), leadline_present()
)"""


@dataclass(frozen=True, slots=True)
class Again:
    """A user whose lead is in doubt."""

    user_id: int
    #: As it was seen; a user that was written since needs no help.
    version: int
    #: The stage is written too, whatever it is in the CRM.
    with_stage: bool = False
    #: No write that comes meanwhile, or waits already, would mend it.
    is_certain: bool = False


def ask(users: Iterable[Again]) -> list[int]:
    """Enter the events; returns the ids of the users that were neither changed nor waiting.

    Raises:
        DatabaseDown: nothing was entered, or nobody can say; asking again is harmless.
    """
    asked = list(users)
    if not asked:
        return []
    rows = enter(
        _ASKED,
        ids=[one.user_id for one in asked],
        versions=[one.version for one in asked],
        event_ids=[str(uuid7()) for _ in asked],
        with_stage=[one.with_stage for one in asked],
        is_certain=[one.is_certain for one in asked],
    )
    return sorted(int(row["user_id"]) for row in rows)


def enter(asked: str, **params: object) -> list[Row]:
    """Enter the events of the users in the table `asked`, which this SQL makes; their `user_id`s.

    Raises:
        DatabaseDown: as `ask`.
    """
    trace = trace_context.current()
    return run_in_current_history(
        _ENTER.format(asked=asked),
        changed=LOOK,
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        caller=trace_context.caller() or None,
        **params,
    )

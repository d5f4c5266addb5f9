"""Resync every user after a fork of Postgres (the sweep): its lead may show a lost state.

It enters resync events in id order, a limited number at a time, so that clients' writes do not wait
behind them.
"""

import structlog
from uuid_utils.compat import uuid7

from leadline.ledger.resync import resync_events
from leadline.runtime.telemetry import trace_context

log = structlog.get_logger()

#: The caller recorded in the ledger; no API key can have this name.
CALLER = "leadline sweep"
#: The sweep pauses while this many events are open.
MAX_OPEN = 200

# The statement also saves the progress, so an aborted step is repeated. One relay at a time does a
# step.
_NEXT = """
WITH sweep AS (
    SELECT swept_to, sweep_to FROM installation WHERE swept_to < sweep_to
    FOR NO KEY UPDATE SKIP LOCKED
), room AS (
    SELECT :max_open - count(*) AS users
    FROM (SELECT FROM events WHERE due_at IS NOT NULL AND state = 'open' LIMIT :max_open) AS open
), requested AS (
    SELECT users.id AS user_id, version AS seen_version, false AS with_stage, true AS force,
           false AS even_waiting, CAST(NULL AS bigint) AS lead_id,
           (CAST(:event_ids AS uuid[]))[row_number() OVER (ORDER BY users.id)] AS event_id
    FROM leadline_present(), sweep, LATERAL (
        SELECT id, version FROM users WHERE id > swept_to AND id <= sweep_to
        ORDER BY id LIMIT (SELECT users FROM room)
    ) AS users
), moved AS (
    UPDATE installation SET swept_to =
        CASE WHEN found.users < room.users THEN installation.sweep_to ELSE found.last END
    FROM sweep, room, (SELECT count(*) AS users, max(user_id) AS last FROM requested) AS found
    WHERE room.users > 0
)"""


def step() -> int:
    """Enter resync events for the next users, unless many events are open; returns how many.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    trace_context.set_caller(CALLER)
    event_ids = [str(uuid7()) for _ in range(MAX_OPEN)]
    users = resync_events.enter_events(_NEXT, max_open=MAX_OPEN, event_ids=event_ids)
    if users:
        log.info("sweep after a fork: users resynced", users=len(users))
    return len(users)

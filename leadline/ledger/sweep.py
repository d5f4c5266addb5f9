"""The sweep after a fork: every user's lead is looked at, as it may show a state that is lost.

Users come in the order of their ids, each with an event that has its lead read and compared. They
come few at a time, so that writes of clients never wait behind many of them.
"""

import structlog
from uuid_utils.compat import uuid7

from leadline.ledger import resync
from leadline.runtime.telemetry import trace_context

log = structlog.get_logger()

#: Who writes, as the ledger names it; no key has such a name.
CALLER = "leadline sweep"
#: Events that may be open: the sweep adds as many users as are missing to that.
AT_MOST = 200

# The progress is part of the statement: whatever is cut off is done again, by one relay at a time.
_NEXT = """
WITH sweep AS (
    SELECT swept_to, sweep_to FROM installation WHERE swept_to < sweep_to
    FOR NO KEY UPDATE SKIP LOCKED
), room AS (
    SELECT :at_most - count(*) AS users
    FROM (SELECT FROM events WHERE due_at IS NOT NULL AND state = 'open' LIMIT :at_most) AS open
), asked AS (
    SELECT users.id AS user_id, version AS seen_version, false AS with_stage, true AS is_certain,
           (CAST(:event_ids AS uuid[]))[row_number() OVER (ORDER BY users.id)] AS event_id
    FROM leadline_present(), sweep, LATERAL (
        SELECT id, version FROM users WHERE id > swept_to AND id <= sweep_to
        ORDER BY id LIMIT (SELECT users FROM room)
    ) AS users
), moved AS (
    UPDATE installation SET swept_to =
        CASE WHEN found.users < room.users THEN installation.sweep_to ELSE found.last END
    FROM sweep, room, (SELECT count(*) AS users, max(user_id) AS last FROM asked) AS found
    WHERE room.users > 0
)"""


def step() -> int:
    """Enter events for the next users, unless many events are open; returns how many.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    trace_context.set_caller(CALLER)
    event_ids = [str(uuid7()) for _ in range(AT_MOST)]
    users = resync.enter(_NEXT, at_most=AT_MOST, event_ids=event_ids)
    if users:
        log.info("leads are compared after a fork", users=len(users))
    return len(users)

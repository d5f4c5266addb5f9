"""Delete expired events, calls, keys, audit rows, jobs and plans, in small batches.

A user's state and sync status are stored in `users`, and need none of its events.
"""

import time

from leadline.ledger.write_sql import KEY_LIFETIME
from leadline.runtime.postgres.pool import database
from leadline.runtime.uuid7 import first_at
from leadline.settings import settings

BATCH = 500

# The rows of a batch are collected first, in an array or a materialized part: Postgres may run a
# subquery of IN for each row of the table, and each run would lock, and so delete, further rows.
_KEYS = f"""
WITH expired AS MATERIALIZED (
    SELECT caller, key FROM idempotency_keys
    WHERE created_at <= now() - interval '{KEY_LIFETIME}'
    ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys AS known USING expired
WHERE known.caller = expired.caller AND known.key = expired.key
RETURNING 1 AS one
"""  # noqa: S608 - of constants; values are parameters

# The newest event of a user is kept if it failed: an operator must see it.
_EVENTS = """
WITH gone AS (
    DELETE FROM events WHERE id = ANY (ARRAY(
        SELECT id FROM events
        WHERE settled_at <= now() - make_interval(secs => :keep_s)
          AND (state <> 'failed' OR version < (SELECT version FROM users WHERE id = user_id))
        ORDER BY settled_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, correlation_id
), calls AS (
    DELETE FROM event_calls USING gone WHERE event_id = gone.id
), correlations AS (
    DELETE FROM event_correlations AS known USING gone
    WHERE known.correlation = hashtextextended(gone.correlation_id, 0)
      AND known.event_id = gone.id
)
SELECT 1 AS one FROM gone
"""

# Ids of events begin with the time of the write (RFC 9562, UUIDv7).
_CALLS = """
DELETE FROM event_calls WHERE event_id = ANY (ARRAY(
    SELECT event_id FROM event_calls WHERE event_id < CAST(:before AS uuid)
    ORDER BY event_id LIMIT :batch FOR UPDATE SKIP LOCKED
))
RETURNING 1 AS one
"""

_AUDIT = """
DELETE FROM audit WHERE id = ANY (ARRAY(
    SELECT id FROM audit WHERE at <= now() - make_interval(secs => :keep_s)
    ORDER BY at LIMIT :batch FOR UPDATE SKIP LOCKED
))
RETURNING 1 AS one
"""

_JOBS = """
DELETE FROM bulk_jobs WHERE id = ANY (ARRAY(
    SELECT id FROM bulk_jobs WHERE ended_at <= now() - make_interval(secs => :keep_s)
    ORDER BY ended_at LIMIT :batch FOR UPDATE SKIP LOCKED
))
RETURNING 1 AS one
"""

_PLANS = """
DELETE FROM match_plans WHERE id = ANY (ARRAY(
    SELECT id FROM match_plans WHERE created_at <= now() - make_interval(secs => :keep_s)
    LIMIT :batch FOR UPDATE SKIP LOCKED
))
RETURNING 1 AS one
"""
_HELD_USERS = """
DELETE FROM held_users WHERE user_id = ANY (ARRAY(
    SELECT user_id FROM held_users JOIN users ON users.id = user_id
    WHERE held_users.version <= synced_version AND since <= now() - make_interval(secs => :keep_s)
    LIMIT :batch FOR UPDATE OF held_users SKIP LOCKED
))
RETURNING 1 AS one
"""


def run(until: float) -> int:
    """Delete in batches until none is left or `until` (monotonic); returns the number of rows.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    keep_s = settings().keep_events_s
    return (
        _delete(until, _KEYS)
        + _delete(until, _EVENTS, keep_s=keep_s)
        + _delete(until, _CALLS, before=str(first_at(time.time() - settings().keep_calls_s)))
        + _delete(until, _AUDIT, keep_s=keep_s)
        + _delete(until, _JOBS, keep_s=keep_s)
        + _delete(until, _PLANS, keep_s=keep_s)
        + _delete(until, _HELD_USERS, keep_s=keep_s)
    )


def _delete(until: float, sql: str, **params: object) -> int:
    """Delete in batches, at least one: tables must not grow while a relay has much to publish."""
    deleted = 0
    while True:
        batch = len(database().run(sql, batch=BATCH, **params))
        deleted += batch
        if batch < BATCH or time.monotonic() >= until:
            return deleted

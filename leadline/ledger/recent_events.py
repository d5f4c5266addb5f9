"""Settled events over time, and the last events of a user."""

from typing import Any

from leadline.messages.attempt_log import Call, calls_from_text
from leadline.runtime.postgres.pool import database

#: Periods that the console plots: the length of each and of its slots, in seconds.
PERIODS = {"1h": (3600, 60), "24h": (86_400, 900), "7d": (604_800, 7200)}

# The totals are the last row: their slot is NULL.
_SETTLED = """
SELECT slot * CAST(:slot_s AS bigint) AS at_s,
       count(*) FILTER (WHERE state = 'synced') AS synced,
       count(*) FILTER (WHERE state = 'superseded') AS superseded,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY took_s) FILTER (WHERE state = 'synced')
           AS median_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY took_s) FILTER (WHERE state = 'synced')
           AS p95_s
FROM (
    SELECT CAST(floor(extract(epoch FROM settled_at) / :slot_s) AS bigint) AS slot, state,
           CAST(extract(epoch FROM settled_at - occurred_at) AS float) AS took_s
    FROM events WHERE settled_at > now() - make_interval(secs => :length_s)
) AS settled
GROUP BY GROUPING SETS ((slot), ()) ORDER BY slot
"""

#: Number of a user's last events that are read; `GET /users/{id}` returns as many.
LAST = 10

_LAST_EVENTS = f"""
SELECT CAST(id AS text) AS event_id, version, action, changed, state, reason, attempts, sendings,
       occurred_at, published_at, settled_at, due_at, correlation_id, caller, journey
FROM events WHERE user_id = :user_id ORDER BY version DESC LIMIT {LAST}
"""  # noqa: S608 - of constants; values are parameters


_LAST_STATES = f"""
SELECT CAST(id AS text) AS event_id, version, full_name, phone, stage, fields, changed
FROM events WHERE user_id = :user_id ORDER BY version DESC LIMIT {LAST}
"""  # noqa: S608 - of constants; values are parameters


_LAST_CALLS = f"""
SELECT CAST(event_id AS text) AS event_id, calls FROM event_calls WHERE event_id IN (
    SELECT id FROM events WHERE user_id = :user_id ORDER BY version DESC LIMIT {LAST}
)
"""  # noqa: S608 - of constants; values are parameters


def settled_since(period: str) -> dict[str, Any]:
    """The number of events settled within one of `PERIODS` by outcome, and their durations.

    Durations are seconds since the write was accepted, of synced events. `slots` has the same for
    each slot with any event; a slot begins at `at_s` (unix seconds).

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    length_s, slot_s = PERIODS[period]
    *slots, totals = database().run(_SETTLED, length_s=length_s, slot_s=slot_s)
    del totals["at_s"]
    return {**totals, "length_s": length_s, "slot_s": slot_s, "slots": slots}


def last_states(user_id: int) -> list[dict[str, Any]]:
    """The state that each of the last events carried to Bitrix24, the newest first.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return database().run(_LAST_STATES, user_id=user_id)


def last_calls(user_id: int) -> dict[str, list[Call]]:
    """The calls to Bitrix24 for the last events, with their answers, by event id, as far as kept.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_LAST_CALLS, user_id=user_id)
    return {row["event_id"]: calls_from_text(row["calls"]) for row in rows}


def last_events(user_id: int) -> list[dict[str, Any]]:
    """A user's last events, newest first; `journey` is the attempt log, None if none is stored.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return database().run(_LAST_EVENTS, user_id=user_id)

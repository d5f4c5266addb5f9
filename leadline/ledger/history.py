"""Settled events of the last hour, and the last events of a user."""

from typing import Any

from leadline.runtime.postgres.pool import database

_HOUR = """
SELECT minute * 60 AS at_s,
       count(*) FILTER (WHERE state = 'synced') AS synced,
       count(*) FILTER (WHERE state = 'superseded') AS superseded,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY took_s) FILTER (WHERE state = 'synced')
           AS median_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY took_s) FILTER (WHERE state = 'synced')
           AS p95_s
FROM (
    SELECT CAST(floor(extract(epoch FROM settled_at) / 60) AS bigint) AS minute, state,
           CAST(extract(epoch FROM settled_at - occurred_at) AS float) AS took_s
    FROM events WHERE settled_at > now() - interval '1 hour'
) AS hour
GROUP BY GROUPING SETS ((minute), ()) ORDER BY minute
"""

#: How many events; `GET /users/{id}` returns as many.
LAST = 10

_LAST_EVENTS = f"""
SELECT CAST(id AS text) AS event_id, version, action, changed, state, reason, attempts, sendings,
       occurred_at, published_at, settled_at, due_at, correlation_id, caller, journey
FROM events WHERE user_id = :user_id ORDER BY version DESC LIMIT {LAST}
"""  # noqa: S608 - of constants; values are parameters


def last_hour() -> dict[str, Any]:
    """Events settled within the last hour, by outcome, and the seconds from acceptance to then.

    The whole hour, and in `minutes` each minute that had any, by its unix seconds `at_s`.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    *minutes, whole = database().run(_HOUR)
    del whole["at_s"]
    return {**whole, "minutes": minutes}


def last_events(user_id: int) -> list[dict[str, Any]]:
    """A user's last events, newest first; `journey` is the attempt log, None if none is stored.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return database().run(_LAST_EVENTS, user_id=user_id)

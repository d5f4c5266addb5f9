"""The last hour by the ledger: what was settled in each minute, and how long it took."""

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


def hour() -> dict[str, Any]:
    """Events settled within the last hour, by outcome, and the seconds from their acceptance.

    The whole hour, and in `minutes` each minute that had any, by its unix seconds `at_s`.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    *minutes, whole = database().run(_HOUR)
    del whole["at_s"]
    return {**whole, "minutes": minutes}

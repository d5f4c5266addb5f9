"""Correlation ids of events: an index for searches, and the events of one id counted by state.

The index is a table of its own, filled off the write path: a database index on `events` would slow
down each write and each update of its event. It leaves out the last minute: ids of events take
their time from the function's clock, and statements may commit in another order than they began.
"""

import time
from datetime import datetime, timedelta

from leadline.runtime.postgres.pool import database
from leadline.runtime.uuid7 import first_at

BATCH = 2000
#: Longer than any statement lasts (5 s) and clocks differ (10 s) together.
OVERLAP_S = 60

# The one row of `event_correlations_to` says up to which event id the index reaches.
_ENTER = """
WITH entered_to AS (
    SELECT event_id FROM event_correlations_to FOR NO KEY UPDATE SKIP LOCKED
), found AS (
    SELECT id, correlation_id FROM events
    WHERE id >= (SELECT event_id FROM entered_to) AND id < CAST(:before AS uuid)
    ORDER BY id LIMIT :batch
), entered AS (
    INSERT INTO event_correlations SELECT hashtextextended(correlation_id, 0), id FROM found
    ON CONFLICT DO NOTHING
), moved AS (
    UPDATE event_correlations_to SET event_id = CASE
        WHEN (SELECT count(*) FROM found) = :batch
        THEN (SELECT id FROM found ORDER BY id DESC LIMIT 1)
        ELSE GREATEST(event_id, CAST(:before AS uuid)) END
    WHERE EXISTS (SELECT FROM entered_to)
)
SELECT count(*) AS events FROM found
"""


# If that row is missing, the index begins with the first event. The migration enters the row where
# it finds events.
_BEGIN = """
INSERT INTO event_correlations_to (event_id) VALUES ('00000000-0000-0000-0000-000000000000')
ON CONFLICT DO NOTHING
"""

# Ids begin with the time of the write, so only events of that time are scanned.
_STATES = """
SELECT state, count(*) AS events FROM events
WHERE id >= CAST(:first AS uuid) AND (CAST(:last AS uuid) IS NULL OR id < CAST(:last AS uuid))
  AND correlation_id = :correlation_id
GROUP BY state
"""
#: By how much the clocks of functions and Postgres may differ.
_CLOCK_SKEW = timedelta(minutes=1)


def catch_up(until: float) -> int:
    """Index events, at least one batch, until `until` (monotonic); returns how many were read.

    Concurrent calls are safe: only one of them works.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    database().run(_BEGIN)
    before = str(first_at(time.time() - OVERLAP_S))
    done = 0
    while True:
        events = int(database().run(_ENTER, before=before, batch=BATCH)[0]["events"])
        done += events
        if events < BATCH or time.monotonic() >= until:
            return done


def states(correlation_id: str, began_at: datetime, ended_at: datetime | None) -> dict[str, int]:
    """The number of events with this correlation id, by state, accepted in this period.

    `ended_at` is None for a period that has not ended.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    first = first_at((began_at - _CLOCK_SKEW).timestamp())
    last = first_at((ended_at + _CLOCK_SKEW).timestamp()) if ended_at else None
    rows = database().run(
        _STATES, correlation_id=correlation_id, first=str(first), last=str(last) if last else None
    )
    return {row["state"]: int(row["events"]) for row in rows}

"""The events that share a correlation id, such as those of a bulk job, counted by state."""

from datetime import datetime, timedelta

from leadline.runtime import uuid7
from leadline.runtime.postgres.pool import database

# Ids begin with the time of the write, so only events of that time are scanned.
_STATES = """
SELECT state, count(*) AS events FROM events
WHERE id >= CAST(:first AS uuid) AND (CAST(:last AS uuid) IS NULL OR id < CAST(:last AS uuid))
  AND correlation_id = :call_id
GROUP BY state
"""
#: By how much the clocks of functions and Postgres may differ.
_CLOCK_SKEW = timedelta(minutes=1)


def states(call_id: str, began_at: datetime, ended_at: datetime | None) -> dict[str, int]:
    """The number of events with this correlation id by state; all were written within this time.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    first = uuid7.first_at((began_at - _CLOCK_SKEW).timestamp())
    last = uuid7.first_at((ended_at + _CLOCK_SKEW).timestamp()) if ended_at else None
    rows = database().run(
        _STATES, call_id=call_id, first=str(first), last=str(last) if last else None
    )
    return {row["state"]: int(row["events"]) for row in rows}

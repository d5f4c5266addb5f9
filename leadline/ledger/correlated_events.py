"""Outcomes of the events that share a correlation id, such as those of a bulk job."""

from datetime import datetime, timedelta

from leadline.ledger.throughput import first_id_at
from leadline.runtime.postgres.pool import database

# Ids begin with the time of the write: only what was written meanwhile is scanned.
_OUTCOMES = """
SELECT state, count(*) AS events FROM events
WHERE id >= CAST(:first AS uuid) AND (CAST(:last AS uuid) IS NULL OR id < CAST(:last AS uuid))
  AND correlation_id = :call_id
GROUP BY state
"""
#: By how much the clocks of functions and Postgres may differ.
_CLOCK_SKEW = timedelta(minutes=1)


def states(call_id: str, began_at: datetime, ended_at: datetime | None) -> dict[str, int]:
    """How many events with this correlation id are in each state; they were written in this time.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    first = first_id_at((began_at - _CLOCK_SKEW).timestamp())
    last = first_id_at((ended_at + _CLOCK_SKEW).timestamp()) if ended_at else None
    rows = database().run(
        _OUTCOMES, call_id=call_id, first=str(first), last=str(last) if last else None
    )
    return {row["state"]: int(row["events"]) for row in rows}

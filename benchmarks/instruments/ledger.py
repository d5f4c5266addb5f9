"""Times of events in the ledger: the clock of whole-system measurements.

Times are those of Postgres: `occurred_at` when a write was accepted, `settled_at` when its reply
was recorded.
"""

from dataclasses import dataclass

from benchmarks.instruments import tables
from local.sandbox.waiting import eventually

_POLL_EVERY_S = 0.1

# Every open event has a due_at; the index is of events that have one.
_OPEN = "SELECT count(*) FROM events WHERE state = 'open' AND due_at IS NOT NULL"
# An event that settled before its publication was recorded has 0 sendings, but was published once.
_SUMMARY = """
SELECT count(*), count(*) FILTER (WHERE state = 'failed'), COALESCE(sum(GREATEST(sendings, 1)), 0),
       EXTRACT(epoch FROM max(settled_at)) FROM events
WHERE occurred_at >= to_timestamp(:since)
"""
_DECILES = """
SELECT EXTRACT(epoch FROM max({column})) FROM (
    SELECT {column}, ntile(10) OVER (ORDER BY {column}) AS part FROM events
    WHERE occurred_at >= to_timestamp(:since)
) AS parts GROUP BY part ORDER BY part
"""


@dataclass(frozen=True)
class SettledTotals:
    """Totals of the events accepted since a given time."""

    events: int
    failed: int
    #: How often they were published in total.
    publications: int
    #: When the last reply was recorded (Unix time).
    last_at: float


def now(url: str) -> float:
    """The time of Postgres' clock (Unix time)."""
    [[moment]] = tables.rows(url, "SELECT EXTRACT(epoch FROM clock_timestamp())")
    return float(moment)


def await_settled(url: str, since: float, within_s: float) -> SettledTotals:
    """Wait until no event is open; returns the totals of those accepted since `since`."""
    with tables.connection(url) as connection:
        eventually(
            lambda: connection.run(_OPEN) == [[0]],
            within_s,
            "every event has its reply",
            _POLL_EVERY_S,
        )
        [[events, failed, publications, last_at]] = connection.run(_SUMMARY, since=since)
    return SettledTotals(int(events), int(failed), int(publications), float(last_at))


def deciles(url: str, column: str, since: float) -> list[float]:
    """The times by which each tenth of the events accepted since `since` was done.

    `column` says what counts as done: `published_at` or `settled_at`.
    """
    return [
        float(moment) for [moment] in tables.rows(url, _DECILES.format(column=column), since=since)
    ]

"""Measures for how long clients, the portal and the ledger saw no progress."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.checker.history import Window
from tests.clusters.bench import ClusterWorkload
from tests.faults.evidence import Evidence


@dataclass(frozen=True)
class Pauses:
    """The longest time in seconds without a success, while there was work all the time."""

    #: Of the API: a write acknowledged, by the host that was worse off.
    api_s: float
    #: A lead written by us.
    leads_s: float
    #: A reply settled in the ledger.
    replies_s: float

    def __str__(self) -> str:
        return f"API {self.api_s:.1f} s, leads {self.leads_s:.1f} s, replies {self.replies_s:.1f} s"


def measure(evidence: Evidence, workload: ClusterWorkload, window: Window) -> Pauses:
    """The pauses of a round within this time."""
    leads = evidence.history.leads
    writes = [write.at for lead in leads for write in lead.writes if write.by == "us"]
    settled = [row["settled_at"] for row in evidence.events if row["settled_at"]]
    hosts = workload.acknowledged.values()
    return Pauses(
        max(longest(times, window) for times in hosts),
        longest(writes, window),
        longest((at.timestamp() for at in settled), window),
    )


def longest(times: Iterable[float], window: Window) -> float:
    """The longest time between two of these, or to begin and end of the window."""
    begin, end = window
    inside = sorted(at for at in times if begin < at < end)
    return max(later - earlier for earlier, later in pairwise((begin, *inside, end)))

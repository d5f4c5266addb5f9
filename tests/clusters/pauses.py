"""Measures how long clients, the portal and the ledger went without progress."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.checker.history import Window
from tests.clusters.bench import ClusterWorkload
from tests.faults.evidence import Evidence


@dataclass(frozen=True)
class Pauses:
    """The longest times without a success, in seconds; clients wrote all the time."""

    #: Without an acknowledged write, on the host with the longer pause.
    api_s: float
    #: Without a lead that we wrote.
    leads_s: float
    #: Without a reply settled in the ledger.
    replies_s: float

    def __str__(self) -> str:
        return f"API {self.api_s:.1f} s, leads {self.leads_s:.1f} s, replies {self.replies_s:.1f} s"


def measure(evidence: Evidence, workload: ClusterWorkload, window: Window) -> Pauses:
    """The longest pauses of a round in `window`."""
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
    """The longest gap between these times and the two ends of the window."""
    begin, end = window
    inside = sorted(at for at in times if begin < at < end)
    return max(later - earlier for earlier, later in pairwise((begin, *inside, end)))

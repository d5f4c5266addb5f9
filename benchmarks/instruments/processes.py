"""CPU time and resident memory of processes, including their descendants."""

import contextlib
import time
from collections.abc import Iterable, Mapping

import psutil

MIB = 1024 * 1024
#: Processes are idle if they use less than this share of a core between two looks at them.
_IDLE_SHARE = 0.05
_IDLE_POLL_S = 0.1
_IDLE_WITHIN_S = 5


def cpu_s(pid: int) -> float:
    """CPU time used so far by this process and its descendants, running or ended."""
    used = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


def rss_mib(pid: int) -> float:
    """Resident MiB of the largest process in this tree: of a server, the one that serves."""
    return max(process.memory_info().rss for process in tree(pid)) / MIB


def pss_mib(pid: int) -> float:
    """MiB of this tree, with shared pages counted once (PSS)."""
    return sum(process.memory_full_info().pss for process in tree(pid)) / MIB


class CpuMeter:
    """CPU time of named processes since the meter was created."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {name: cpu_s(pid) for name, pid in self._pids.items()}

    def used_s(self) -> dict[str, float]:
        """Seconds by name."""
        return {name: cpu_s(pid) - self._before[name] for name, pid in self._pids.items()}


def await_idle(pids: Iterable[int]) -> None:
    """Wait up to 5 s until these processes are idle: publishing goes on after a load."""
    awaited = list(pids)
    deadline = time.monotonic() + _IDLE_WITHIN_S
    before = sum(map(cpu_s, awaited))
    while time.monotonic() < deadline:
        time.sleep(_IDLE_POLL_S)
        now = sum(map(cpu_s, awaited))
        if now - before <= _IDLE_SHARE * _IDLE_POLL_S:
            return
        before = now


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; empty if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []

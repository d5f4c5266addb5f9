"""Find and end the processes of a system by a mark in their environment."""

import contextlib
from pathlib import Path

import psutil

from local.runner.processes.supervision import DAEMON
from local.runner.state import State

#: Environment variable with the state folder's path, set by the runner for its processes only.
MARK = "LEADLINE_RUN"

#: These overwrite their environment to show a title in `ps`; their working folder identifies them.
_SERVERS = ("postgres", "redis-server", "beam.smp", "epmd")
_GRACE_S = 3.0


def find(state: State) -> list[psutil.Process]:
    """The processes of this state folder, with any parent."""
    return [process for process in psutil.process_iter() if _belongs(process, state.root)]


def end(state: State, grace_s: float = _GRACE_S) -> int:
    """End them all, the supervisor first so that it restarts none; returns their number."""
    processes = find(state)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if DAEMON in process.cmdline():
                process.kill()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    while alive:
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=_GRACE_S)
        # Finds processes that started during the previous scan.
        alive = find(state)
    return len(processes)


def _belongs(process: psutil.Process, root: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.name() in _SERVERS:
            return Path(process.cwd()).is_relative_to(root)
        return process.environ().get(MARK) == str(root)
    except (psutil.Error, OSError):
        return False

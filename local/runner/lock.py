"""One runner for one state folder."""

import fcntl
import os
import time
from typing import IO

from local.runner.state import State

#: How long a call of `holder` may hold the lock.
_HOLDER_CALL_S = 0.2


class AlreadyRunning(Exception):
    """Another runner works in this state folder."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"Leadline already runs here (process {pid}); `make stop` ends it")


def acquire(state: State) -> IO[str]:
    """Hold the lock until the file is closed or the process ends, however it ends.

    Raises:
        AlreadyRunning: another runner holds it.
    """
    file = state.lock_file.open("a+", encoding="ascii")
    deadline = time.monotonic() + _HOLDER_CALL_S
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.seek(0)
            pid = file.read().strip()
            file.close()
            raise AlreadyRunning(pid)
        time.sleep(0.01)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def holder(state: State) -> int | None:
    """The pid of the runner in this state folder, or None.

    This call takes a shared lock for a moment and writes nothing: callers do not see each other.
    """
    state.create()
    with state.lock_file.open("a+", encoding="ascii") as file:
        if _try_lock(file, fcntl.LOCK_SH):
            return None
        file.seek(0)
        pid = file.read().strip()
        return int(pid) if pid else None  # a runner that begins has none yet


def _try_lock(file: IO[str], kind: int) -> bool:
    """Take this lock if it is free; returns whether it was."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

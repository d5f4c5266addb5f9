"""One runner for one state folder."""

import fcntl
import os
from typing import IO

from local.runner.state import State


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
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        pid = file.read().strip()
        file.close()
        raise AlreadyRunning(pid) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def holder(state: State) -> int | None:
    """The pid of the runner in this state folder, or None."""
    state.create()
    try:
        acquire(state).close()
    except AlreadyRunning:
        return int(state.lock_file.read_text(encoding="ascii"))
    return None

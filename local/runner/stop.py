"""`make stop` and `make reset`: stop the system of a state folder, and delete its data."""

import os
import shutil
import signal
import time

from local.runner import lock
from local.runner.processes import leftovers
from local.runner.runfile import RunFile
from local.runner.state import State
from local.runner.terminal.console import Console

_STOPPED_WITHIN_S = 15


def stop(state: State, console: Console) -> int:
    """Stop the runner, then end what a killed runner left; returns the exit code."""
    pid = lock.holder(state)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while lock.holder(state) is not None:
        if time.monotonic() > deadline:
            console.error(f"the runner (process {pid}) does not stop")
            return 1
        time.sleep(0.1)
    leftover_count = leftovers.end(state)
    RunFile(state).remove()
    console.step("stopped" if pid is not None or leftover_count else "nothing runs here")
    return 0


def reset(state: State, console: Console) -> int:
    """Delete the state folder, unless it is in use. Returns the exit code."""
    pid = lock.holder(state)
    if pid is not None or leftovers.find(state):
        console.error("a system still runs here; run `make stop` first")
        return 1
    if not state.was_used():
        console.error(f"{state.root} is not a state folder of Leadline; nothing was removed")
        return 1
    shutil.rmtree(state.root)
    console.step(f"removed {state.root}")
    return 0

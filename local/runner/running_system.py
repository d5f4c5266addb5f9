"""A system for a short task: the one that runs, else one started for it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from local.runner import lock
from local.runner.state import State

_START_WITHIN_S = 600


class NoSystem(Exception):
    """No system runs, and none can be started."""


@contextmanager
def running_system(state: State, print_step: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The content of run.json: of the running system, else of one started for this block only.

    Raises:
        NoSystem: it does not start.
    """
    if lock.holder(state) is not None:
        yield _await_run_file(state, runner=None)
        return
    print_step("no system runs here: starting one")
    state.run_file.unlink(missing_ok=True)
    runner = subprocess.Popen((sys.executable, "-m", "local.runner"), stdout=subprocess.DEVNULL)
    try:
        yield _await_run_file(state, runner)
    finally:
        print_step("stopping the system")
        runner.terminate()
        runner.wait()


def _await_run_file(state: State, runner: subprocess.Popen[bytes] | None) -> dict[str, Any]:
    """The content of run.json once it exists; raises NoSystem.

    `runner`: the process that writes the file, if this one has started it.
    """
    deadline = time.monotonic() + _START_WITHIN_S
    while not state.run_file.exists():
        if time.monotonic() > deadline or (runner and runner.poll() is not None):
            raise NoSystem("the system does not start")
        time.sleep(0.05)
    return dict(json.loads(state.run_file.read_text(encoding="utf-8")))

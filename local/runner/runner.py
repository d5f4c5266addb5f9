"""The life cycle of the runner: start, watch, stop; no process remains afterwards."""

import os
import signal
import time
from types import FrameType

from local.runner import lock
from local.runner.choices import Choices
from local.runner.ports import PortTaken
from local.runner.processes import leftovers
from local.runner.processes.supervision import Statuses, Supervisor, SupervisorLost
from local.runner.runfile import RunFile
from local.runner.start import NotStarted, start
from local.runner.state import State
from local.runner.system import System, plan
from local.runner.terminal.console import Console
from local.runner.terminal.follow import Follower

_POLL_EVERY_S = 0.25
#: With _LAST_GRACE_S below the 10 s that stopping may take.
_STOP_WITHIN_S = 7.5
_LAST_GRACE_S = 0.5


class StopRequested(BaseException):
    """The runner got SIGINT or SIGTERM."""


def run(state: State, choices: Choices, console: Console) -> int:
    """Run a whole system until a signal; returns the exit code."""
    # For all processes: data, logs and state contain names, phones and passwords.
    os.umask(0o077)
    state.create()
    try:
        lock_ = lock.acquire(state)
    except lock.AlreadyRunning as error:
        console.error(str(error))
        return 1
    with lock_:
        _stop_on_signals()
        try:
            return _run(state, choices, console)
        except StopRequested:
            return 0


def _run(state: State, choices: Choices, console: Console) -> int:
    """Run the system until a signal or a failure, then stop it.

    Returns the exit code of a failure; a signal raises StopRequested.
    """
    run_file = RunFile(state)
    run_file.remove()
    leftover_count = leftovers.end(state)
    if leftover_count:
        console.step(f"ended {leftover_count} processes of an earlier run")
    supervisor = Supervisor(state)
    try:
        system = plan(state, choices)
        failing = start(system, supervisor, console.step)
        console.banner(system, failing)
        _watch(system, supervisor, run_file, Follower(state, system.programs, console))
    except (NotStarted, PortTaken) as error:
        console.error(str(error))
    except SupervisorLost:
        console.error("supervisord is gone, so nothing would be restarted: stopping")
    finally:
        _ignore_signals()
        run_file.remove()
        console.step("stopping")
        supervisor.stop(_STOP_WITHIN_S)
        leftovers.end(state, _LAST_GRACE_S)
        console.step("stopped")
    return 1


def _watch(system: System, supervisor: Supervisor, run_file: RunFile, follower: Follower) -> None:
    """Keep run.json current and print new log lines, until a signal or the loss of supervisord."""
    statuses = Statuses(supervisor.statuses)
    while supervisor.is_alive():
        run_file.update(system, statuses.current())
        follower.show_new_lines()
        time.sleep(_POLL_EVERY_S)
    raise SupervisorLost


def _stop_on_signals() -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        _ignore_signals()
        raise StopRequested

    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, stop)


def _ignore_signals() -> None:
    """A second Ctrl-C must not leave half of the processes behind."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)

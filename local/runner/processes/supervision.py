"""supervisord keeps the programs running; the runner configures and controls it."""

import http.client
import math
import shutil
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from local.runner.processes.configuration import configuration, socket
from local.runner.processes.program import CHECKOUT, Program
from local.runner.state import State, write

#: How long supervisord may take to answer: its imports take seconds, on a busy machine or after an
#: update many.
_ANSWERS_WITHIN_S = 60
#: Maximum age of a status.
_ASK_EVERY_S = 2.0
#: http://supervisord.org/subprocess.html#process-states: all others soon change.
_STEADY_STATES = {"RUNNING", "STOPPED"}
#: Module of the daemon, shown in its arguments.
DAEMON = "local.runner.processes.supervisord"


@dataclass(frozen=True)
class Status:
    """The state of one program; pid 0 while it does not run."""

    name: str
    state: str
    pid: int


class Statuses:
    """The statuses of all programs, read from supervisord only if they may have changed.

    Each query costs both processes milliseconds; checking the pids costs microseconds.
    """

    def __init__(self, ask: Callable[[], list[Status]]) -> None:
        self._ask = ask
        self._last: list[Status] = []
        self._asked_at = -math.inf

    def current(self) -> list[Status]:
        """The status of each program, at most `_ASK_EVERY_S` old; an exit is noticed at once.

        Raises:
            SupervisorLost: supervisord is gone.
        """
        if self._may_have_changed():
            self._last = self._ask()
            self._asked_at = time.monotonic()
        return self._last

    def _may_have_changed(self) -> bool:
        if time.monotonic() > self._asked_at + _ASK_EVERY_S:
            return True
        return any(
            status.state not in _STEADY_STATES or (status.pid and not psutil.pid_exists(status.pid))
            for status in self._last
        )


class Supervisor:
    """One supervisord, a child process: it stops gracefully on SIGTERM or when the runner dies."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._socket = socket(state)
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, programs: Iterable[Program], env: Mapping[str, str]) -> None:
        """Start the daemon and with it the servers; the others start with `start_programs`.

        Raises:
            SupervisorLost: it does not answer.
        """
        config = self._state.root / "supervisord.conf"
        write(config, configuration(programs, self._state, self._socket))
        with log_file(self._state, "supervisord-output").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                (*_tied_to_this_process(), sys.executable, "-m", DAEMON, "-c", str(config)),
                env=dict(env),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while not self._answers():
            if not self.is_alive() or time.monotonic() > deadline:
                raise SupervisorLost
            time.sleep(0.05)

    def start_programs(self, programs: Iterable[Program]) -> None:
        """Start more programs, without waiting for them."""
        wait = False
        for program in programs:
            self._call("startProcess", f"{program.group.label}:{program.name}", wait)

    def statuses(self) -> list[Status]:
        """The state of every program.

        Raises:
            SupervisorLost: it is gone.
        """
        processes = self._call("getAllProcessInfo")
        return [
            Status(process["name"], process["statename"], process["pid"]) for process in processes
        ]

    def is_alive(self) -> bool:
        """Whether the daemon still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, within_s: float) -> None:
        """Stop group after group, servers last; `leftovers` kills those that are too slow."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            self._call("getState")
        except SupervisorLost:
            return False
        return True

    def _call(self, method: str, *arguments: object) -> Any:
        """The result of a call by XML-RPC; raises SupervisorLost."""
        # A new transport for each call: one that failed once cannot be reused.
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy: Any = xmlrpc.client.ServerProxy("http://localhost", transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorLost from error
        finally:
            transport.close()


class SupervisorLost(Exception):
    """supervisord died or does not answer, so nothing would be restarted."""


def _tied_to_this_process() -> tuple[str, ...]:
    """A command prefix: the kernel sends SIGTERM to the program when the runner dies."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def log_file(state: State, name: str) -> Path:
    """The file with a program's output."""
    return state.logs / f"{name}.log"

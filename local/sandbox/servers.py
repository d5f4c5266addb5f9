"""One private server, started by the runner's code, which can be stopped, killed and frozen."""

import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from local.runner.ports import Ports
from local.runner.processes.leftovers import MARK
from local.runner.processes.program import Program
from local.runner.servers import selection
from local.runner.servers.selection import Server
from local.runner.state import State
from local.sandbox.waiting import eventually

READY_WITHIN_S = 240
#: For a stop that loses nothing.
STOPPED_WITHIN_S = 60

_FACTORIES: dict[str, Callable[[State, Ports], Server]] = {
    "postgres": selection.postgres,
    "rabbitmq": selection.rabbitmq,
    "redis": selection.redis,
    "bitrix24": selection.bitrix24,
}


@dataclass
class PrivateServer:
    """One private server; ends with this process, however that ends."""

    server: Server
    state: State
    #: Additional environment of its processes.
    env: dict[str, str] = field(default_factory=dict)
    _programs: tuple[Program, ...] = ()
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL for clients."""
        return self.server.url

    @property
    def pid(self) -> int:
        """The pid of the server, the last of its programs."""
        return self._processes[-1].pid

    def start(self) -> None:
        """Start it and wait until it is ready; keeps its data."""
        # programs() prepares their data, which must not be touched while they run.
        self._programs = self.server.programs()
        self._processes = [self._spawn(program) for program in self._programs]
        eventually(self.server.make_ready, READY_WITHIN_S, f"{self.url.partition(':')[0]} is ready")

    def stop(self, within_s: float = 0) -> None:
        """Stop it gracefully; kill it after `within_s`, at least after its program's own time."""
        for process, program in zip(self._processes, self._programs, strict=True):
            process.send_signal(getattr(signal, f"SIG{program.stop_signal}"))
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(max(within_s, program.stop_wait_s))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return bool(self._processes) and self._processes[-1].poll() is None

    def kill(self, signal_: signal.Signals = signal.SIGKILL) -> None:
        """Kill it and its other processes as kill -9 does; the server itself gets `signal_`."""
        self._processes[-1].send_signal(signal_)
        self.thaw()
        for process in reversed(self._processes):
            if process is not self._processes[-1]:
                process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop without a loss, and start."""
        self.stop(STOPPED_WITHIN_S)
        self.start()

    def freeze(self) -> None:
        """Stop it from answering, with connections open, like a machine that hangs."""
        self._processes[-1].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        if self._processes:
            self._processes[-1].send_signal(signal.SIGCONT)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        """Start a program; its output goes to its log."""
        with (self.state.logs / f"{program.name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own server
                tied_to_this_process(program),
                env={**os.environ, **program.env, **self.env, MARK: str(self.state.root)},
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def tied_to_this_process(program: Program) -> tuple[str, ...]:
    """The command, which the kernel ends when this process does."""
    setpriv = shutil.which("setpriv") or "setpriv"
    # SIGKILL would leave Postgres' shared memory behind.
    end_signal = program.stop_signal if program.name == "postgres" else "KILL"
    command = program.command[1:] if program.command[0] == setpriv else ("--", *program.command)
    return (setpriv, "--pdeathsig", end_signal, *command)


def private(name: str, folder: Path) -> PrivateServer:
    """A server by its name in run.json, not started, on free ports."""
    state = State(folder)
    state.create()
    ports = Ports(state.ports(), with_defaults=False, reserved=_ports_given_away)
    server = _FACTORIES[name](state, ports)
    _ports_given_away.extend(ports.chosen.values())
    state.save_ports(ports.chosen)
    return PrivateServer(server, state)


#: Ports that callers of this module have got, though nothing may listen on them yet or any more.
_ports_given_away: deque[int] = deque(maxlen=100)


def free_port() -> int:
    """A port on which nothing listens, and which the next calls do not return."""
    port = Ports({}, with_defaults=False, reserved=_ports_given_away).choose("any")
    _ports_given_away.append(port)
    return port

"""A private system, run by the real runner in its own state folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from local.runner.processes import leftovers
from local.runner.processes.program import CHECKOUT
from local.runner.state import State
from local.sandbox.waiting import eventually

#: Beyond what the runner itself allows.
READY_WITHIN_S = 600
#: The runner stops within ten seconds; a busy machine takes longer.
STOPPED_WITHIN_S = 120


class SystemEnded(AssertionError):
    """The runner has ended; the text is its output."""


@dataclass
class PrivateSystem:
    """One private system, started, observed and stopped from outside."""

    state: State
    env: dict[str, str] = field(default_factory=dict)
    http: requests.Session = field(default_factory=requests.Session)
    #: The version of Leadline that runs.
    checkout: Path = CHECKOUT
    runner: subprocess.Popen[bytes] | None = None
    launched_at: float = 0

    # Life cycle

    def start(self) -> None:
        """Start the runner and wait until every part works."""
        self.launch()
        eventually(self.is_ready, READY_WITHIN_S, "the system is ready")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the runner without waiting; its output goes to runner.log."""
        self.state.create()
        self.launched_at = time.time()
        with self.output.open("ab") as output:
            self.runner = subprocess.Popen(  # noqa: S603 - our own runner
                (*_tied_to_this_process(), sys.executable, "-m", "local.runner"),
                cwd=self.checkout,
                env={
                    **os.environ,
                    "LEADLINE_FREE_PORTS": "1",
                    # Tests must not read the developer's own options.
                    "LEADLINE_ENV_FILE": "",
                    # Enough to run in parallel, few enough to start quickly.
                    "WORKERS": "3",
                    **self.env,
                    "LEADLINE_STATE": str(self.state.root),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self.runner

    def is_ready(self) -> bool:
        """Whether run.json exists; the runner writes it when every part works."""
        if self._require_runner().poll() is not None:
            raise SystemEnded(self.output.read_text(encoding="utf-8"))
        try:
            # A killed runner leaves an old one.
            return self.state.run_file.stat().st_mtime > self.launched_at
        except FileNotFoundError:
            return False

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """Stop the runner; returns its exit code."""
        self._require_runner().send_signal(signal_)
        return self._require_runner().wait(STOPPED_WITHIN_S)

    def end(self) -> None:
        """End every process of this system, in any state."""
        if self.runner and self.runner.poll() is None:
            self.runner.terminate()
            try:
                self.runner.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.runner.kill()
        leftovers.end(self.state)
        self.http.close()

    def _require_runner(self) -> subprocess.Popen[bytes]:
        if self.runner is None:
            raise SystemEnded("not launched")
        return self.runner

    # Observation

    @property
    def output(self) -> Path:
        """The file with the runner's output."""
        return self.state.root / "runner.log"

    @property
    def run(self) -> dict[str, Any]:
        """The current content of run.json."""
        return dict(json.loads(self.state.run_file.read_text(encoding="utf-8")))

    def url(self, name: str) -> str:
        """An address of run.json: edge, bitrix24, database, amqp, redis, rabbitmq_management."""
        return str(self.run["urls"][name])

    def pid(self, name: str) -> int:
        """The current pid of this process."""
        return int(self.run["processes"][name])

    def processes(self) -> list[psutil.Process]:
        """All running processes of this system."""
        return leftovers.find(self.state)

    def log(self, name: str) -> str:
        """The log of a process so far."""
        return (self.state.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        """The last log lines of every process, for a failed test."""
        parts = [self.output, *sorted(self.state.logs.glob("*.log"))]
        return "".join(f"--- {path.name}\n{_end_of(path)}\n" for path in parts if path.exists())

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The emulator's control API: `control("PUT", "settings", {...})`."""
        url = f"{self.url('bitrix24')}/_emulator/{path}"
        answer = self.http.request(method, url, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _tied_to_this_process() -> tuple[str, ...]:
    return (shutil.which("setpriv") or "setpriv", "--pdeathsig", "TERM", "--")


def _end_of(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

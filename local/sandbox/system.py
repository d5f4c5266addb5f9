"""A whole system of our own: run by the real runner in a state folder of its own."""

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

from local.runner import leftovers
from local.runner.program import CHECKOUT
from local.runner.state import State
from local.sandbox.waiting import eventually

READY_WITHIN_S = 90


class Ended(AssertionError):
    """No runner runs; the text is what it had printed."""


@dataclass
class PrivateSystem:
    """One system: started, watched and stopped from outside, as a person would."""

    state: State
    env: dict[str, str] = field(default_factory=dict)
    http: requests.Session = field(default_factory=requests.Session)
    runner: subprocess.Popen[bytes] | None = None
    launched_at: float = 0

    # What runs

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
                (*_dying_with_us(), sys.executable, "-m", "local.runner"),
                cwd=CHECKOUT,
                env={
                    **os.environ,
                    "LEADLINE_FREE_PORTS": "1",
                    # Enough to share the work, few enough to start quickly.
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
        """Whether run.json is there; the runner writes it when every part works."""
        if self._launched().poll() is not None:
            raise Ended(self.output.read_text(encoding="utf-8"))
        try:
            # A runner that was killed has left its own.
            return self.state.run_file.stat().st_mtime > self.launched_at
        except FileNotFoundError:
            return False

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """Ask the runner to stop; its exit code."""
        self._launched().send_signal(signal_)
        return self._launched().wait(30)

    def end(self) -> None:
        """Whatever happened before, nothing of it runs any longer."""
        if self.runner and self.runner.poll() is None:
            self.runner.terminate()
            try:
                self.runner.wait(30)
            except subprocess.TimeoutExpired:
                self.runner.kill()
        leftovers.end(self.state)
        self.http.close()

    def _launched(self) -> subprocess.Popen[bytes]:
        if self.runner is None:
            raise Ended("not launched")
        return self.runner

    # What it says

    @property
    def output(self) -> Path:
        """What the runner prints."""
        return self.state.root / "runner.log"

    @property
    def run(self) -> dict[str, Any]:
        """run.json as it is now."""
        return dict(json.loads(self.state.run_file.read_text(encoding="utf-8")))

    def url(self, name: str) -> str:
        """An address of run.json: edge, bitrix24, database, amqp, redis, rabbitmq_management."""
        return str(self.run["urls"][name])

    def pid(self, name: str) -> int:
        """The process of this name now."""
        return int(self.run["processes"][name])

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this system and lives."""
        return leftovers.find(self.state)

    def log(self, name: str) -> str:
        """What a process has written so far."""
        return (self.state.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        """The last lines of every process, for a test that failed."""
        parts = [self.output, *sorted(self.state.logs.glob("*.log"))]
        return "".join(f"--- {path.name}\n{_end_of(path)}\n" for path in parts if path.exists())

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The emulator's control API: `control("PUT", "settings", {...})`."""
        url = f"{self.url('bitrix24')}/_emulator/{path}"
        answer = self.http.request(method, url, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _dying_with_us() -> tuple[str, ...]:
    return (shutil.which("setpriv") or "setpriv", "--pdeathsig", "TERM", "--")


def _end_of(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

"""A whole system for tests, run by the real runner in a state folder of its own."""

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
from local.runner.state import State
from tests.servers import eventually

CHECKOUT = Path(__file__).parents[1]
READY_WITHIN_S = 90


@dataclass
class System:
    """One system: started, watched, broken and stopped from outside, as a person would."""

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
            self.runner = subprocess.Popen(
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
        assert self.runner, "not launched"
        assert self.runner.poll() is None, self.output.read_text(encoding="utf-8")
        try:
            # A runner that was killed has left its own.
            return self.state.run_file.stat().st_mtime > self.launched_at
        except FileNotFoundError:
            return False

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """Ask the runner to stop; its exit code."""
        assert self.runner, "not launched"
        self.runner.send_signal(signal_)
        return self.runner.wait(30)

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

    # What it does

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request to the edge, whatever it answers."""
        return self.http.request(method, f"{self.url('edge')}{path}", **{"timeout": 30, **options})

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz."""
        answer = self.request("GET", "/healthz", headers={"Cache-Control": "no-cache"})
        return answer.status_code, answer.json()

    def is_well(self) -> bool:
        """Whether every part works."""
        return self.health()[0] == 200

    def create(self, full_name: str = "Иван Иванов", phone: str = "+77001112233") -> dict[str, Any]:
        """A new user."""
        body = {"full_name": full_name, "phone": phone}
        answer = self.request("POST", "/users", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def user(self, user_id: int) -> dict[str, Any]:
        """A user with its sync block."""
        answer = self.request("GET", f"/users/{user_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def await_synced(self, user_id: int, within_s: float = 15) -> dict[str, Any]:
        """The user once its lead is in step."""
        eventually(
            lambda: self.user(user_id)["sync"]["status"] == "synced",
            within_s,
            f"user {user_id} is synced",
        )
        return self.user(user_id)

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The emulator's control API: `control("PUT", "settings", {...})`."""
        url = f"{self.url('bitrix24')}/_emulator/{path}"
        answer = self.http.request(method, url, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def leads(self) -> list[dict[str, Any]]:
        """Every lead of the emulated portal."""
        return list(self.control("GET", "leads"))

    # What is done to it

    def kill(self, name: str) -> int:
        """Kill -9 the process of this name; the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_restart(self, name: str, old_pid: int, within_s: float = 20) -> int:
        """The pid of the process that took the old one's place."""
        eventually(
            lambda: self.run["processes"].get(name, old_pid) != old_pid,
            within_s,
            f"{name} is started again",
        )
        return self.pid(name)


def _dying_with_us() -> tuple[str, ...]:
    return (shutil.which("setpriv") or "setpriv", "--pdeathsig", "TERM", "--")


def _end_of(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

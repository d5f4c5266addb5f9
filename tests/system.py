"""A whole system under test, with requests, writes and faults from outside."""

import contextlib
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from local.runner.processes.program import CHECKOUT
from local.sandbox.system import PrivateSystem
from local.sandbox.waiting import eventually

__all__ = ["CHECKOUT", "System"]


@dataclass
class System(PrivateSystem):
    """One system under test."""

    #: Names and phones that were sent, accepted or not.
    sent: set[str] = field(default_factory=set)

    # Requests

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request to the edge, and note the names and phones in it; returns any answer."""
        body = options.get("json")
        if isinstance(body, dict):
            personal = (body.get("full_name"), body.get("phone"))
            self.sent.update(text.lstrip("+") for text in personal if isinstance(text, str))
        return self.http.request(method, f"{self.url('edge')}{path}", **{"timeout": 60, **options})

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz."""
        answer = self.request("GET", "/healthz")
        return answer.status_code, answer.json()

    def is_well(self) -> bool:
        """Whether every part works, by an answer that is newer than this call."""
        asked_at = datetime.now(UTC)
        status, body = self.health()
        return status == 200 and datetime.fromisoformat(body["checked_at"]) >= asked_at

    def create(self, full_name: str = "Иван Иванов", phone: str = "+77001112233") -> dict[str, Any]:
        """Create a user."""
        body = {"full_name": full_name, "phone": phone}
        answer = self.request("POST", "/users", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def user(self, user_id: int) -> dict[str, Any]:
        """A user with its sync block."""
        answer = self.request("GET", f"/users/{user_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def await_synced(self, user_id: int, within_s: float = 120) -> dict[str, Any]:
        """Wait until the user is synced; returns it."""
        eventually(
            lambda: self.user(user_id)["sync"]["status"] == "synced",
            within_s,
            f"user {user_id} is synced",
        )
        return self.user(user_id)

    def leads(self) -> list[dict[str, Any]]:
        """Every lead of the emulated portal."""
        return list(self.control("GET", "leads"))

    def await_relay_run(self) -> None:
        """Wait until a run of the relay that began after this call has ended.

        That is the second run to end: the first may have begun before.
        """
        for _ in range(2):
            self._await_tick((self.state.root / "relay.tick").stat().st_mtime_ns)

    def _await_tick(self, last_mtime_ns: int) -> None:
        """Wait until the relay has touched its file, whose time was `last_mtime_ns`."""
        tick = self.state.root / "relay.tick"
        eventually(lambda: tick.stat().st_mtime_ns != last_mtime_ns, 120, "the relay has run")

    # Faults

    def kill(self, name: str) -> int:
        """Kill -9 the process of this name, or its successor if it just ended; returns the pid."""
        killed: list[int] = []

        def is_killed() -> bool:
            pid = self.pid(name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            return bool(killed)

        eventually(is_killed, 120, f"{name} is there to be killed")
        return killed[0]

    def await_restart(self, name: str, old_pid: int, within_s: float = 120) -> int:
        """The pid of the process that replaced the old one."""
        eventually(
            lambda: self.run["processes"].get(name, old_pid) != old_pid,
            within_s,
            f"{name} is restarted",
        )
        return self.pid(name)

"""The Bitrix24 emulator as one of the servers."""

import sys
import urllib.error
import urllib.request
from dataclasses import dataclass

from local.runner.processes.program import Group, Program, StartPhase
from local.runner.state import State

_WEBHOOK_PATH = "/rest/1/local-webhook-code/"


@dataclass(frozen=True)
class Bitrix24:
    """One emulated portal; its leads are a file in the state folder."""

    state: State
    port: int

    @property
    def url(self) -> str:
        """The base URL of its board and control API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook_url(self) -> str:
        """The webhook URL that Leadline calls."""
        return self.url + _WEBHOOK_PATH

    def programs(self) -> tuple[Program, ...]:
        """The emulator."""
        leads = self.state.root / "bitrix24.sqlite3"
        words = ("--port", str(self.port), "--state", str(leads))
        command = (sys.executable, "-m", "emulator", *words)
        return (Program("bitrix24", command, Group.SERVERS, StartPhase.SERVERS),)

    def make_ready(self) -> bool:
        """Nothing to do; returns whether its control API answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_emulator/settings", timeout=2):  # noqa: S310 - loopback
                return True
        except (urllib.error.URLError, OSError):
            return False

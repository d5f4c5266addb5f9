"""A pytest plugin: a separate Bitrix24 portal for each test.

The fixture `bitrix24` is a portal without leads, faults or settings of an earlier test; give its
`webhook` to your integration. One process serves the whole session.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

#: Enough for a machine that is ten times slower than usual.
_STOP_TIMEOUT_S = 60
_CALL_TIMEOUT_S = 60


@dataclass(frozen=True)
class Bitrix24:
    """A running emulator: `webhook` is the URL for your client."""

    webhook: str

    @property
    def base(self) -> str:
        """The emulator's address without a path."""
        parts = urlsplit(self.webhook)
        return f"{parts.scheme}://{parts.netloc}"

    def call(self, method: str, **params: Any) -> Any:
        """Call a REST method, to prepare or check a test; returns its result, raises HTTPError."""
        return self._send("POST", self.webhook + method, params)["result"]

    def control(self, verb: str, path: str, body: object = None) -> Any:
        """The answer of the control API, such as GET leads, PUT settings or POST faults."""
        return self._send(verb, f"{self.base}/_emulator/{path}", body)

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.control("PUT", "settings", settings)

    def fault(self, method: str, action: str, **rule: Any) -> None:
        """Add a fault: `fault("crm.lead.add", "drop_after", count=1)` loses one answer."""
        self.control("POST", "faults", [{"method": method, "action": action, **rule}])

    def leads(self) -> Any:
        """All leads with their phones and histories."""
        return self.control("GET", "leads")

    def _send(self, verb: str, url: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data, {"Content-Type": "application/json"}, method=verb)  # noqa: S310
        with urlopen(request, timeout=_CALL_TIMEOUT_S) as response:  # noqa: S310 (our own address)
            return json.load(response)


@pytest.fixture(scope="session")
def bitrix24_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bitrix24]:
    """The emulator of this session, on a free port."""
    state = tmp_path_factory.mktemp("bitrix24") / "state.sqlite3"
    command = [sys.executable, "-m", "emulator", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield Bitrix24(_webhook(process))
        finally:
            process.terminate()
            process.wait(_STOP_TIMEOUT_S)


@pytest.fixture
def bitrix24(bitrix24_process: Bitrix24) -> Bitrix24:
    """A portal in its initial state, with the request limit of a real one."""
    bitrix24_process.control("POST", "reset")
    return bitrix24_process


def _webhook(process: "subprocess.Popen[str]") -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError("the emulator of Bitrix24 did not start")
    _, _, webhook, *_ = line.split()  # Bitrix24 emulator: http://…/rest/1/…/  board: …
    return webhook

"""An emulator process on a free port, and a client for it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.servers import eventually

WEBHOOK = "/rest/1/local-webhook-code/"


@dataclass
class Emulator:
    """A running emulator process and a session with it."""

    process: subprocess.Popen[str]
    base: str
    session: requests.Session

    @property
    def webhook(self) -> str:
        """The webhook URL of the standard portal."""
        return self.base + WEBHOOK

    def post(self, method: str, params: object = None, **kwargs: Any) -> requests.Response:
        """Make a REST call with a JSON body; returns any answer, also an error."""
        options = {"timeout": 60, "allow_redirects": False, **kwargs}
        return self.session.post(self.webhook + method, json=params or {}, **options)

    def abandon(self, method: str, params: object = None) -> None:
        """Send a REST call, and close the connection once the emulator has counted the request."""
        before = self.calls()["requests"]
        body = json.dumps(params or {}).encode()
        parts = urlsplit(self.webhook + method)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as client:
            client.sendall(head.encode() + body)
            eventually(lambda: self.calls()["requests"] > before, 60, "the request has arrived")

    def call(self, method: str, params: object = None) -> Any:
        """The body of a REST call that must answer 200."""
        response = self.post(method, params)
        assert response.status_code == 200, response.text
        return response.json()

    def result(self, method: str, params: object = None) -> Any:
        """The result of a REST call that must succeed."""
        return self.call(method, params)["result"]

    def add(self, **fields: Any) -> int:
        """Create a lead; returns its id."""
        return int(self.result("crm.lead.add", {"fields": fields}))

    def get(self, lead_id: int) -> Any:
        """A lead as crm.lead.get returns it."""
        return self.result("crm.lead.get", {"id": lead_id})

    def batch(self, cmd: object, halt: int = 0) -> Any:
        """The result of a batch."""
        return self.result("batch", {"halt": halt, "cmd": cmd})

    def control(self, verb: str, path: str, body: object = None) -> Any:
        """The answer of the control API, which must be 200."""
        response = self.session.request(
            verb, f"{self.base}/_emulator/{path}", json=body, timeout=60
        )
        assert response.status_code == 200, response.text
        return response.json()

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.control("PUT", "settings", settings)

    def fault(self, method: str, action: str, **rule: Any) -> None:
        """Add a fault rule."""
        self.control("POST", "faults", [{"method": method, "action": action, **rule}])

    def leads(self) -> Any:
        """All leads as the control API lists them."""
        return self.control("GET", "leads")

    def calls(self) -> Any:
        """The counts of requests and commands."""
        return self.control("GET", "calls")

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """End the process by a signal; returns its exit code."""
        self.process.send_signal(signal_)
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.session.close()
        return code


def start(state: Path, *options: str) -> Emulator:
    """A new emulator process with a state file, ready to answer."""
    process = subprocess.Popen(
        # The emulator ends together with the tests, however those end.
        [
            shutil.which("setpriv") or "setpriv",
            "--pdeathsig",
            "TERM",
            "--",
            sys.executable,
            "-m",
            "emulator",
            "--port",
            "0",
            "--state",
            str(state),
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},  # the default, whatever the test run has
    )
    assert process.stdout is not None
    _, _, webhook, *_ = process.stdout.readline().split()  # Bitrix24 emulator: http://…/  board: …
    session = requests.Session()
    session.trust_env = False
    return Emulator(process, webhook.removesuffix(WEBHOOK), session)

"""The load generator: wrk with one thread; wrk.lua generates the requests."""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_suffix(".lua")
#: wrk needs a duration; `send` interrupts it as soon as its requests are sent.
_LONGEST_S = 300


@dataclass(frozen=True)
class Request:
    """A request; `{id}` in the path stands for a random user's id."""

    method: str
    path: str
    body: str = ""
    key: str = ""
    #: The number of users to choose from, ids from 1.
    users: int = 1


@dataclass(frozen=True)
class Load:
    """The result of a load."""

    rate: float
    p50_ms: float
    p99_ms: float
    requests: int
    #: Answers with a status of 400 and above, and connections that failed.
    errors: int


def load(url: str, request: Request, connections: int, seconds: int) -> Load:
    """Send requests as fast as the connections allow, for `seconds`; returns what was measured."""
    result = subprocess.run(  # noqa: S603
        _command(url, request, connections, seconds, limit=0),
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    found = _result(result.stdout)
    return Load(
        found["requests"] / found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        found["requests"],
        found["not_2xx"] + found["socket_errors"],
    )


def send(url: str, request: Request, connections: int, requests: int) -> None:
    """Send at least `requests` requests, as fast as possible.

    Does not wait for the last answer of each connection.

    Raises:
        RuntimeError: some were refused.
    """
    command = _command(url, request, connections, _LONGEST_S, limit=requests + connections)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        lines = process.stdout
        while lines and lines.readline() not in {"sent\n", ""}:
            pass
        # The threads of wrk have ended, but wrk itself would wait for the rest of its time.
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    refused = _result(output)["not_2xx"]
    if refused:
        raise RuntimeError(f"{refused} of {requests} requests were refused")


def _command(
    url: str, request: Request, connections: int, seconds: int, limit: int
) -> tuple[str, ...]:
    words = ("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=20s", "-s", str(SCRIPT))
    arguments = (
        request.method,
        request.path,
        request.body,
        request.key,
        str(request.users),
        str(limit),
    )
    return (*words, url, "--", *arguments)


def _result(output: str) -> dict[str, Any]:
    return dict(json.loads(output.splitlines()[-1]))

"""The schedule's key is sent to its function and nowhere else."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from leadline.connector import schedule


@dataclass
class RecordingServer:
    """A server that records requests with a key."""

    url: str = ""
    status: int = 200
    location: str = ""
    keys: list[str] = field(default_factory=list)


@pytest.fixture
def recorders() -> Iterator[tuple[RecordingServer, RecordingServer]]:
    """The function, and another server."""
    found = (RecordingServer(), RecordingServer())
    servers = [_serving(recorder) for recorder in found]
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def _serving(recorder: RecordingServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            recorder.keys.append(self.headers.get("Authorization", ""))
            self.send_response(recorder.status)
            self.send_header("Location", recorder.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - as a redirect would make it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    recorder.url = f"http://127.0.0.1:{server.server_port}/"
    return server


@pytest.fixture(autouse=True)
def _has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadline.runtime.http.auth.own_key", lambda: "hunter2")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_get_the_key(
    recorders: tuple[RecordingServer, RecordingServer], status: int
) -> None:
    function, other = recorders
    function.status, function.location = status, other.url
    assert schedule.post(function.url) == f"status {status}"
    assert (function.keys, other.keys) == (["Bearer hunter2"], [])


def test_a_proxy_does_not_get_the_key(
    recorders: tuple[RecordingServer, RecordingServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    function, other = recorders
    monkeypatch.setenv("http_proxy", other.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert schedule.post(function.url) == ""
    assert (function.keys, other.keys) == (["Bearer hunter2"], [])

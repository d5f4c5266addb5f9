"""Probes of the processes that are not functions: `/_/health`, `/_/ready`, `/metrics` on `PORT`.

Health fails only if a restart would help; it never depends on a server. Ready means that the
process is doing its work.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leadline.runtime.telemetry import metrics

#: Time-out of a request and its response.
TIMEOUT_S = 5.0
#: Maximum connections; further ones are closed. Probes and scrapes need a few.
MAX_CONNECTIONS = 64


class _Server(ThreadingHTTPServer):
    """Closes slow connections, and those over the limit."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # Not a socket time-out, which restarts with each byte.
        timeout = threading.Timer(TIMEOUT_S, _close, [request])
        timeout.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timeout.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Don't log closed connections."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Heartbeat:
    """Detects a loop that hangs: the loop calls `beat` in each iteration.

    `has_begun`: before the first beat, the construction counts as one; otherwise none is recent.
    """

    def __init__(self, timeout_s: float, *, has_begun: bool = True) -> None:
        self._timeout_s = timeout_s
        self._last_beat_at = time.monotonic() if has_begun else float("-inf")

    def beat(self) -> None:
        """Record an iteration of the loop."""
        self._last_beat_at = time.monotonic()

    def is_recent(self) -> bool:
        """Whether the last beat is younger than the time-out."""
        return time.monotonic() - self._last_beat_at < self._timeout_s


def serve_probes(
    *,
    is_alive: Callable[[], bool],
    is_ready: Callable[[], bool],
) -> None:
    """Serve probes on `HOST` and `PORT`, in a daemon thread.

    `/_/health` returns 200 while `is_alive`, `/metrics` the metrics, and any other path 200 while
    `is_ready`.
    """

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == metrics.PATH:
                self._answer(200, metrics.exposition(), metrics.CONTENT_TYPE)
                return
            is_ok = is_alive() if self.path == "/_/health" else is_ready()
            self._answer(200 if is_ok else 503, b"ok" if is_ok else b"failing", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Don't log probes."""

    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = _Server(address, Probe)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()

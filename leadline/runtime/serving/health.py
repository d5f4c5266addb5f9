"""What processes that are no functions answer: `/_/health`, `/_/ready` and `/metrics` on `PORT`.

Health says that a restart would not help; it never depends on a server. Ready says that the process
does its work now.
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

#: How long a caller has for a request and its answer as a whole.
WITHIN_S = 5.0
#: Callers that are served at once; others are hung up on. Probes and scrapes are a few.
CALLERS = 64


class _Server(ThreadingHTTPServer):
    """Hangs up on who is slow, and on who is one too many."""

    daemon_threads = True
    request_queue_size = CALLERS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._free = threading.BoundedSemaphore(CALLERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A time-out of the socket would begin anew with each byte.
        end = threading.Timer(WITHIN_S, _hang_up, [request])
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, or is hung up on, is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Pulse:
    """Whether a loop still turns: it beats each time round."""

    def __init__(self, patience_s: float, *, has_begun: bool = True) -> None:
        self._patience_s = patience_s
        self._beaten_at = time.monotonic() if has_begun else float("-inf")

    def beat(self) -> None:
        """Say that the loop came round."""
        self._beaten_at = time.monotonic()

    def is_felt(self) -> bool:
        """Whether it came round lately."""
        return time.monotonic() - self._beaten_at < self._patience_s


def serve_probes(
    *,
    is_alive: Callable[[], bool],
    is_ready: Callable[[], bool],
) -> None:
    """Answer on `HOST` and `PORT` from a thread of its own until the process ends.

    `/_/health` is 200 while `is_alive`, `/metrics` is what Prometheus reads, and any other path is
    200 while `is_ready`.
    """

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == metrics.PATH:
                self._answer(200, metrics.exposition(), metrics.CONTENT_TYPE)
                return
            is_well = is_alive() if self.path == "/_/health" else is_ready()
            self._answer(200 if is_well else 503, b"ok" if is_well else b"failing", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes are no news."""

    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = _Server(address, Probe)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()

"""A probe for processes that are no functions: `GET` anything answers 200 or 503."""

import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve_health(is_healthy: Callable[[], bool]) -> None:
    """Answer probes on `HOST` and `PORT` from a thread of its own until the process ends."""

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_ok = is_healthy()
            self.send_response(200 if is_ok else 503)
            self.end_headers()
            self.wfile.write(b"ok" if is_ok else b"not consuming")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes are no news."""

    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = ThreadingHTTPServer(address, Probe)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

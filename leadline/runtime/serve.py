"""Serve one function: `python -m leadline.runtime.serve functions/create_user`.

functions-framework builds the WSGI app, granian runs it, and a thin layer around it answers
`/_/health`, `/_/ready` and `/metrics` without entering the function, reads bodies only up to a
limit and counts requests.
The same entry serves in the image, on OpenFaaS, on Knative and on a laptop.
"""

import ctypes
import io
import os
import signal
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import functions_framework
import structlog
from werkzeug.exceptions import HTTPException

from leadline.runtime import auth, log, metrics, problem, traffic
from leadline.runtime.http import not_served
from leadline.runtime.settings import settings
from leadline.runtime.traffic import App, StartResponse

PROBES = frozenset({"/_/health", "/_/ready"})


def build_app(folder: Path) -> App:
    """The WSGI app of the function in this folder, named FUNCTION_TARGET or as the folder.

    Raises:
        BadConfiguration: a setting is missing; the function must not start.
    """
    target = _target(folder)
    log.configure(target.replace("_", "-"))
    auth.check_configured()
    flask_app: Any = functions_framework.create_app(  # type: ignore[no-untyped-call]
        target, str(folder / "main.py"), "http"
    )
    flask_app.register_error_handler(HTTPException, not_served)
    guarded = guard(flask_app.wsgi_app, settings().body_limit)
    return probed(traffic.counted(guarded, target.replace("_", "-")))


def _target(folder: Path) -> str:
    return os.environ.get("FUNCTION_TARGET") or folder.resolve().name


def probed(app: App) -> App:
    """Answer probes and scrapes at once, pass on the rest."""

    def answering(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            return _respond(start_response, HTTPStatus.OK, b"ok", "text/plain")
        if traffic.is_scrape(environ):
            return _respond(start_response, *traffic.scrape(), metrics.CONTENT_TYPE)
        return app(environ, start_response)

    return answering


def guard(app: App, limit: int) -> App:
    """Refuse bodies over the limit (also chunked ones), pass on the rest."""

    def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = _read(environ, limit)
        if body is None:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            text = problem.document(status, f"A body may have {limit} bytes at most.")
            return _respond(start_response, status, text, problem.CONTENT_TYPE)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        # functions-framework would roll twelve dice for an id that nobody reads here.
        environ.setdefault("HTTP_FUNCTION_EXECUTION_ID", "-")
        return _whole(app(environ, start_response))

    return guarded


def _whole(parts: Iterable[bytes]) -> list[bytes]:
    """The answer in one piece: a server sends a list at once, but streams any other iterable."""
    try:
        return list(parts)
    finally:
        close = getattr(parts, "close", None)
        if close:
            close()


def _read(environ: dict[str, Any], limit: int) -> bytes | None:
    """The body, or None where it is too long; never holds more than the limit."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > limit:
        return None
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    body: bytes = environ["wsgi.input"].read(limit + 1)
    return body if len(body) <= limit else None


def _respond(
    start_response: StartResponse, status: HTTPStatus, body: bytes, content_type: str
) -> Iterable[bytes]:
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def _die_with_parent() -> None:
    """Let the kernel end this worker when the server that forked it is killed with -9."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _load(folder: str) -> App:
    _die_with_parent()
    return build_app(Path(folder))


def main() -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    from granian import Granian  # noqa: PLC0415 - only the server needs it
    from granian.constants import Interfaces  # noqa: PLC0415

    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FUNCTION_FOLDER", "function")
    log.configure(_target(Path(folder)).replace("_", "-"))
    server = Granian(
        folder,
        address=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8080")),
        interface=Interfaces.WSGI,
        workers=int(os.environ.get("WORKERS", "1")),
        blocking_threads=int(os.environ.get("THREADS", "8")),
        workers_kill_timeout=20,
        log_enabled=False,
        websockets=False,
    )
    structlog.get_logger().info("function starts", port=server.bind_port)
    server.serve(target_loader=_load)


if __name__ == "__main__":
    main()

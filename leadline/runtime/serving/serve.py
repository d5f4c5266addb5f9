"""Serve one function: `python -m leadline.runtime.serving.serve functions/create_user`.

functions-framework loads the function and granian serves it. The middleware in between answers
`/_/health`, `/_/ready` and `/metrics`, limits bodies and counts requests. It calls the function as
functions-framework's own app would, but skips Flask's routes, sessions and contexts, which no
function uses and which took a quarter of a request. Requests of a cooperative function run in
greenlets on one thread.
The same command serves in the image, on OpenFaaS, on Knative and on a laptop.
"""

import asyncio
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

import functions_framework
import structlog
import uvloop
from flask import Request
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from leadline import process
from leadline.runtime import cleartext
from leadline.runtime.concurrency import greenlets
from leadline.runtime.http import auth, problem
from leadline.runtime.http.endpoint import BODY, RawResponse, body_limit_of, scopes_of
from leadline.runtime.serving import cold_start, rsgi_bridge
from leadline.runtime.serving.drain import TRANSIT_S, Drain, refuse_connections
from leadline.runtime.telemetry import http_metrics, log, metrics, tracing
from leadline.runtime.telemetry.http_metrics import App, StartResponse
from leadline.settings import settings

Function = Callable[[Request], App]

#: Time-out of a request's head, including the idle time before it. Longer than the edge keeps idle
#: connections, so that none is closed while a request is on its way.
HEAD_TIMEOUT_S = 30
#: Maximum size of a head, path and query included, in bytes; may be exceeded by one read.
MAX_HEAD = 32 * 1024
#: Maximum connections of a process, each with up to a head and a body in memory; others wait in the
#: listen backlog.
MAX_CONNECTIONS = 512
LISTEN_BACKLOG = 1024
#: After SIGTERM and the drain, how long requests in flight may take to complete.
STOP_TIMEOUT_S = 20

#: The name that `faas-cli new` gives a function in any folder.
_TEMPLATE_TARGET = "handle"
PROBES = frozenset({"/_/health", "/_/ready"})


def build_app(folder: Path) -> App:
    """The WSGI app of the function in this folder.

    Raises:
        BadConfiguration: a setting is missing or invalid; the function must not start.
    """
    return _with_middleware(_load_function(folder), _name(folder))


def _load_function(folder: Path) -> Function:
    target = _target(folder)
    log.configure(_name(folder))
    cleartext.require_tls_for_secrets()
    source = folder / "main.py"
    functions_framework.create_app(target, str(source), "http")  # type: ignore[no-untyped-call]
    function: Function = getattr(sys.modules[source.stem], target)
    auth.check_configured(scopes_of(function))
    process.check_start()
    return function


def _with_middleware(function: Function, name: str) -> App:
    app = limit_body(_wsgi_app(function), body_limit_of(function, settings().body_limit))
    if settings().auth == "off":
        # Imported only here, for a quick cold start: functions in use have authentication.
        from leadline.runtime.serving.cross_site_middleware import refuse_cross_site  # noqa: PLC0415

        app = refuse_cross_site(app)
    if tracing.is_enabled():
        app = tracing.trace_requests(app, name)
    return answer_probes(http_metrics.count_requests(app, name))


def _target(folder: Path) -> str:
    """FUNCTION_TARGET, else the function named like its folder, else the template's `handle`."""
    if target := os.environ.get("FUNCTION_TARGET"):
        return target
    folder_name = folder.resolve().name
    source = (folder / "main.py").read_text(encoding="utf-8")
    return (
        folder_name
        if re.search(rf"^def {re.escape(folder_name)}\(", source, re.MULTILINE)
        else _TEMPLATE_TARGET
    )


def _name(folder: Path) -> str:
    """The function's name in logs, metrics and traces."""
    return (os.environ.get("FUNCTION_TARGET") or folder.resolve().name).replace("_", "-")


def _wsgi_app(function: Function) -> App:
    """The function as a WSGI app."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return function(Request(environ))(environ, start_response)

    return call


def answer_probes(app: App) -> App:
    """Middleware: answer probes and scrapes, pass on all other requests."""

    def middleware(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            ok = RawResponse(b"ok", HTTPStatus.OK, {"Content-Type": "text/plain"})
            return ok(environ, start_response)
        if http_metrics.is_scrape(environ):
            headers = {"Content-Type": metrics.CONTENT_TYPE}
            exposition = RawResponse(metrics.exposition(), HTTPStatus.OK, headers)
            return exposition(environ, start_response)
        return app(environ, start_response)

    return middleware


def limit_body(app: App, limit_of: Callable[[str], int]) -> App:
    """Middleware: reject bodies over their path's limit (chunked ones, too) or timed out."""

    def middleware(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        limit = limit_of(environ["PATH_INFO"])
        if rsgi_bridge.TIMED_OUT in environ:
            detail = f"A body must be sent within {rsgi_bridge.BODY_TIMEOUT_S} s."
            return _close_with(HTTPStatus.REQUEST_TIMEOUT, detail)(environ, start_response)
        body = _read_body(environ, limit)
        if body is None:
            detail = f"A body may have {limit} bytes at most."
            return _close_with(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)(environ, start_response)
        environ[BODY] = body
        environ["wsgi.input"] = io.BytesIO(body)
        environ["wsgi.input_terminated"] = True  # so werkzeug does not wrap it
        environ["CONTENT_LENGTH"] = str(len(body))
        return app(environ, start_response)

    return middleware


def _close_with(status: HTTPStatus, detail: str) -> RawResponse:
    # The unread body is still in the connection, so no other request may follow on it.
    headers = {"Content-Type": problem.CONTENT_TYPE, "Connection": "close"}
    return RawResponse(problem.document(status, detail), status, headers)


def _read_body(environ: dict[str, Any], limit: int) -> bytes | None:
    """The body, or None if it is too long; reads at most one byte more than the limit."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > limit:
        return None
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    body: bytes = environ["wsgi.input"].read(limit + 1)
    return body if len(body) <= limit else None


def _load_app(folder: Path, drain: Drain) -> Callable[..., Any]:
    """The RSGI app of the function in this folder, ready to serve."""
    function = _load_function(folder)
    app = _with_middleware(function, _name(folder))
    cold_start.freeze()
    return rsgi_bridge.rsgi_app(
        app,
        body_limit_of(function, settings().body_limit),
        drain,
        cooperative=greenlets.is_cooperative(function),
    )


async def _serve(app: Callable[..., Any], drain: Drain) -> None:
    """Serve the app in this process until SIGTERM or SIGINT; requests in flight complete first."""
    server = Server(
        app,
        address=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8080")),
        interface=Interfaces.RSGI,
        log_enabled=False,
        websockets=False,
        http=HTTPModes.http1,  # with HTTP/2 a connection could carry any number of requests
        http1_settings=HTTP1Settings(
            header_read_timeout=HEAD_TIMEOUT_S * 1000, max_buffer_size=MAX_HEAD
        ),
        backlog=LISTEN_BACKLOG,
        backpressure=MAX_CONNECTIONS,
    )
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve())

    def refuse_and_stop() -> None:
        loop.call_later(TRANSIT_S, stop)
        refuse_connections(server.bind_port)

    def stop() -> None:
        server.stop()  # type: ignore[no-untyped-call]
        loop.call_later(STOP_TIMEOUT_S, serving.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: loop.call_later(drain.begin(), refuse_and_stop))
    structlog.get_logger().info("function starts", port=server.bind_port)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """Serve until SIGTERM."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FUNCTION_FOLDER", "function")
    drain = Drain()
    app = _load_app(Path(folder), drain)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, drain))
        process.current().close()  # messages in flight are confirmed on this loop


if __name__ == "__main__":
    main()

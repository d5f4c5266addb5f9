"""Serve one function: `python -m leadline.runtime.serving.serve functions/create_user`.

functions-framework loads the function, granian serves it, and what stands between them is thin: it
answers `/_/health`, `/_/ready` and `/metrics` without entering the function, reads bodies only up
to a limit, counts requests, and calls the function as functions-framework's own app would, less
what no function here uses of Flask: routes, sessions and contexts took a quarter of a request.
A function that waits for Postgres alone has its requests go by turns on one thread (`turns`).
The same entry serves in the image, on OpenFaaS, on Knative and on a laptop.
"""

import ctypes
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before the imports that it makes cheaper
    from leadline.runtime.serving import cold_start

    cold_start.begin()

import functions_framework
import structlog
from flask import Request

from leadline.runtime import cleartext
from leadline.runtime.concurrency import greenlets
from leadline.runtime.http import auth, cross_site, problem
from leadline.runtime.http.endpoint import BODY, Answer, scopes_of
from leadline.runtime.serving import cold_start, rsgi_bridge
from leadline.runtime.telemetry import http_metrics, log, metrics, tracing
from leadline.runtime.telemetry.http_metrics import App, StartResponse
from leadline.settings import settings

Function = Callable[[Request], App]

#: How long the head of a request may take, and a connection may be idle before it. Longer than the
#: edge keeps idle connections (15 s), so that none is closed while a request is on its way.
HEAD_WITHIN_S = 30
#: Bytes of a head, with its path and query, give or take a read.
HEAD_MAX = 32 * 1024
#: Connections of a serving process; others wait to be accepted. Each may hold a head and a body.
CONNECTIONS = 512

PROBES = frozenset({"/_/health", "/_/ready"})


def build_app(folder: Path) -> App:
    """The WSGI app of the function in this folder, named FUNCTION_TARGET or as the folder.

    Raises:
        BadConfiguration: a setting is missing; the function must not start.
    """
    return _app(_function(folder), _name(folder))


def _function(folder: Path) -> Function:
    target = _target(folder)
    log.configure(_name(folder))
    cleartext.refuse_configured()
    source = folder / "main.py"
    functions_framework.create_app(target, str(source), "http")  # type: ignore[no-untyped-call]
    function: Function = getattr(sys.modules[source.stem], target)
    auth.check_configured(scopes_of(function))
    return function


def _app(function: Function, name: str) -> App:
    guarded = guard(_calling(function), settings().body_limit)
    if settings().auth == "off":
        guarded = for_own_pages(guarded, cross_site.Guard.read())
    traced = tracing.served(guarded, name) if tracing.is_on() else guarded
    return probed(http_metrics.counted(traced, name))


def _target(folder: Path) -> str:
    return os.environ.get("FUNCTION_TARGET") or folder.resolve().name


def _name(folder: Path) -> str:
    """As the function is called in logs, metrics and traces."""
    return _target(folder).replace("_", "-")


def _calling(function: Function) -> App:
    """The function as a WSGI app."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return function(Request(environ))(environ, start_response)

    return call


def probed(app: App) -> App:
    """Answer probes and scrapes at once, pass on the rest."""

    def answering(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            ok = Answer(b"ok", HTTPStatus.OK, {"Content-Type": "text/plain"})
            return ok(environ, start_response)
        if http_metrics.is_scrape(environ):
            status, text = http_metrics.scrape()
            told = Answer(text, status, {"Content-Type": metrics.CONTENT_TYPE})
            return told(environ, start_response)
        return app(environ, start_response)

    return answering


def for_own_pages(app: App, guard: cross_site.Guard) -> App:
    """Refuse what a page of another site has asked for: without keys it could read and write."""

    def answering(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        refusal = guard.refusal(_head(environ))
        if refusal is None:
            return app(environ, start_response)
        body = problem.document(refusal.status, refusal.detail)
        answer = Answer(body, refusal.status, {"Content-Type": problem.CONTENT_TYPE})
        return answer(environ, start_response)

    return answering


def _head(environ: dict[str, Any]) -> cross_site.Head:
    # The server joins headers that were sent twice: no name and no origin has a comma.
    origin = environ.get("HTTP_ORIGIN")
    return cross_site.Head(
        method=environ["REQUEST_METHOD"],
        host=environ.get("HTTP_HOST"),
        origins=() if origin is None else (origin,),
        sec_fetch_site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        sec_fetch_mode=environ.get("HTTP_SEC_FETCH_MODE", ""),
        sec_fetch_dest=environ.get("HTTP_SEC_FETCH_DEST", ""),
        own_address=environ.get("SERVER_NAME", ""),
    )


def guard(app: App, limit: int) -> App:
    """Refuse bodies over the limit (also chunked ones) and slow ones, pass on the rest."""

    def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if rsgi_bridge.TOO_SLOW in environ:
            detail = f"A body must be sent within {rsgi_bridge.BODY_WITHIN_S} s."
            return _unread(HTTPStatus.REQUEST_TIMEOUT, detail)(environ, start_response)
        body = _read(environ, limit)
        if body is None:
            detail = f"A body may have {limit} bytes at most."
            return _unread(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)(environ, start_response)
        environ[BODY] = body
        environ["wsgi.input"] = io.BytesIO(body)
        environ["wsgi.input_terminated"] = True  # it ends by itself: werkzeug need not wrap it
        environ["CONTENT_LENGTH"] = str(len(body))
        return app(environ, start_response)

    return guarded


def _unread(status: HTTPStatus, detail: str) -> Answer:
    # What was not read is still in the connection: no other request may follow on it.
    headers = {"Content-Type": problem.CONTENT_TYPE, "Connection": "close"}
    return Answer(problem.document(status, detail), status, headers)


def _read(environ: dict[str, Any], limit: int) -> bytes | None:
    """The body, or None where it is too long; never holds more than the limit."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > limit:
        return None
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    body: bytes = environ["wsgi.input"].read(limit + 1)
    return body if len(body) <= limit else None


def end_with_parent() -> None:
    """Let the kernel end this worker when the server that started it is killed with -9.

    An orphan would go on taking requests, beside the workers of the next server on its port.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent and os.getppid() != parent.pid:  # killed before the kernel was asked
        os._exit(1)


def _load(folder: str) -> Callable[..., Any]:
    end_with_parent()
    function = _function(Path(folder))
    app = _app(function, _name(Path(folder)))
    cold_start.end()
    return rsgi_bridge.served(
        app, settings().body_limit, cooperative=greenlets.is_cooperative(function)
    )


def main() -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    from granian import Granian  # noqa: PLC0415 - only the server needs it
    from granian.constants import HTTPModes, Interfaces, Loops  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415

    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FUNCTION_FOLDER", "function")
    log.configure(_name(Path(folder)))
    server = Granian(
        folder,
        address=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8080")),
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        workers=int(os.environ.get("WORKERS", "1")),
        workers_kill_timeout=20,
        log_enabled=False,
        websockets=False,
        http=HTTPModes.http1,  # by HTTP/2 one connection is any number of requests
        http1_settings=HTTP1Settings(
            header_read_timeout=HEAD_WITHIN_S * 1000, max_buffer_size=HEAD_MAX
        ),
        backpressure=CONNECTIONS,
    )
    structlog.get_logger().info("function starts", port=server.bind_port)
    server.serve(target_loader=_load)


if __name__ == "__main__":
    main()

"""Bridges granian's RSGI to a function's WSGI.

RSGI (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md) serves requests on
an event loop; functions are WSGI apps (PEP 3333), as in functions-framework.
"""

import asyncio
import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Protocol

from leadline.runtime.concurrency import greenlets
from leadline.runtime.http import refusals
from leadline.runtime.serving.drain import Drain, Headers
from leadline.runtime.telemetry.http_metrics import App

_Response = tuple[int, Headers, bytes]

#: Time-out of reading a whole body.
BODY_TIMEOUT_S = 20
#: The key set in the environ if the body took longer.
TIMED_OUT = "leadline.too_slow"

_CONSTANT = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_CGI_NAMES = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class _Scope(Protocol):
    """A request in granian's RSGI."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: Any


def rsgi_app(
    app: App, limit_of: Callable[[str], int], drain: Drain, *, cooperative: bool
) -> Callable[..., Any]:
    """An RSGI app for this WSGI app.

    `cooperative`: requests run in greenlets on the loop's thread, otherwise each on a thread of the
    pool. The app gets at most one byte more of a body than its path's limit, so that it notices a
    longer one. If the body times out, the app gets none of it, and TIMED_OUT is set.
    """
    threads = ThreadPoolExecutor(greenlets.threads(), "request")

    async def serve(scope: _Scope, protocol: Any) -> None:
        environ = _environ(scope)
        body = b""
        if _has_body(environ):
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    body = await _read_body(environ, protocol, limit_of(scope.path))
            except TimeoutError:
                environ[TIMED_OUT] = True
        environ["wsgi.input"] = io.BytesIO(body)
        run = partial(_call, app, environ)
        if cooperative:
            status, headers, body = await greenlets.spawn(run)
        else:
            loop = asyncio.get_running_loop()
            status, headers, body = await loop.run_in_executor(threads, run)
        if status in refusals.STATUSES:
            status, headers, body = await refusals.delay((status, headers, body))
        # Responses of one loop iteration are sent in a row, which wakes granian's thread only once.
        await asyncio.sleep(0)
        protocol.response_bytes(status, drain.before_response(headers), body)

    return serve


def _call(app: App, environ: dict[str, Any]) -> _Response:
    """Call the WSGI app; returns its complete response."""
    started: list[Any] = []
    chunks = app(environ, lambda status, headers, _error=None: started.extend((status, headers)))
    status, headers = started
    try:
        return int(status[:3]), headers, b"".join(chunks)
    finally:
        if close := getattr(chunks, "close", None):  # PEP 3333
            close()


def _environ(scope: _Scope) -> dict[str, Any]:
    name, _, port = scope.server.rpartition(":")
    environ = {
        **_CONSTANT,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),  # PEP 3333: bytes in a str
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.url_scheme": scope.scheme,
    }
    count_before = len(environ)
    for header, value in scope.headers.items():
        key = _key(header)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    names = scope.headers.keys()
    if len(environ) - count_before < len(names):  # granian leaves out a value that is not ASCII
        for header in names:
            environ.setdefault(_key(header), "")
    return environ


@lru_cache(maxsize=256)
def _key(header: str) -> str:
    """The key of this header in the environ."""
    return _CGI_NAMES.get(header) or "HTTP_" + header.upper().replace("-", "_")


def _has_body(environ: dict[str, Any]) -> bool:
    return "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ


async def _read_body(environ: dict[str, Any], protocol: Any, limit: int) -> bytes:
    """Read the body; of one over the limit, the first `limit` + 1 bytes or nothing."""
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdigit():
        body: bytes = await protocol() if 0 < int(length) <= limit else b""
        return body
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    read = bytearray()
    async for chunk in protocol:
        read += chunk
        if len(read) > limit:
            break
    return bytes(read[: limit + 1])

"""From granian to the function: RSGI on one side, WSGI on the other.

RSGI (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md) lets a request be
answered from a loop; functions are WSGI (PEP 3333), as functions-framework has them.
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
from leadline.runtime.telemetry.http_metrics import App

_Headers = list[tuple[str, str]]
_Answer = tuple[int, _Headers, bytes]

#: How long a body may take as a whole, however small the pieces are that it comes in.
BODY_WITHIN_S = 20
#: In the environ of a request whose body took longer.
TOO_SLOW = "leadline.too_slow"

_ALWAYS = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_NAMES = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class _Scope(Protocol):
    """What granian says of a request."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: Any


def served(app: App, body_limit: int, *, cooperative: bool) -> Callable[..., Any]:
    """The RSGI app that has each request answered by this WSGI app.

    `cooperative`: it blocks nowhere but in `turns`, so that its requests share the loop's thread;
    otherwise each is given one. Of a body it is given `body_limit` bytes and one more, which tells
    that there were too many; of one that is not there in time nothing, and TOO_SLOW.
    """
    threads = ThreadPoolExecutor(greenlets.THREADS, "request")

    async def serve(scope: _Scope, protocol: Any) -> None:
        environ = _environ(scope)
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await _body(environ, protocol, body_limit)
        except TimeoutError:
            body, environ[TOO_SLOW] = b"", True
        environ["wsgi.input"] = io.BytesIO(body)
        run = partial(_answer, app, environ)
        if cooperative:
            status, headers, body = await greenlets.spawn(run)
        else:
            loop = asyncio.get_running_loop()
            status, headers, body = await loop.run_in_executor(threads, run)
        if status in refusals.STATUSES:
            status, headers, body = await refusals.slowed((status, headers, body))
        # Those of one round of the loop leave in a row: granian's thread is woken once for all.
        await asyncio.sleep(0)
        protocol.response_bytes(status, headers, body)

    return serve


def _answer(app: App, environ: dict[str, Any]) -> _Answer:
    told: list[Any] = []
    chunks = app(environ, lambda status, headers, _error=None: told.extend((status, headers)))
    status, headers = told
    try:
        return int(status[:3]), headers, b"".join(chunks)
    finally:
        getattr(chunks, "close", bool)()  # PEP 3333


def _environ(scope: _Scope) -> dict[str, Any]:
    name, _, port = scope.server.rpartition(":")
    environ = {
        **_ALWAYS,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),  # PEP 3333 wants bytes in a str
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.url_scheme": scope.scheme,
    }
    for header, value in scope.headers.items():
        key = _key(header)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    for header in scope.headers.keys():  # noqa: SIM118 - no dictionary
        environ.setdefault(_key(header), "")  # granian keeps back a value that is not ASCII
    return environ


@lru_cache(maxsize=256)
def _key(header: str) -> str:
    """Where WSGI has this header."""
    return _NAMES.get(header) or "HTTP_" + header.upper().replace("-", "_")


async def _body(environ: dict[str, Any], protocol: Any, limit: int) -> bytes:
    """The body, or so much of it that it is seen to be too long."""
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdigit():
        whole: bytes = await protocol() if 0 < int(length) <= limit else b""
        return whole
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    read = bytearray()
    async for chunk in protocol:
        read += chunk
        if len(read) > limit:
            break
    return bytes(read[: limit + 1])

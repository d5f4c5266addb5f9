"""One log line per request: method, path, status, milliseconds and the call's id.

A path may contain what a caller typed, such as a phone. So only words of our own paths, names of
functions and numbers as short as ids are logged, and never the query.
"""

import re

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from leadline.runtime.telemetry import trace_context
from local.gateway.proxy import CALL_ID, FUNCTION
from local.gateway.routes import ROUTES

HEALTH = "/healthz"
HIDDEN = "*"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ROUTE_WORDS = {segment for path in ROUTES for segment in path.split("/") if "{" not in segment}
#: The words of our own paths: the API, the console, the gateway's paths and its REST API, probes.
_WORDS = frozenset(
    {
        *_ROUTE_WORDS,
        *("console", "api", "status", "again", "failed", "pause", "resume", "audit"),
        *("dead-letters", "replay", "discard"),
        *("function", "async-function", "system", "functions", "scale-function", "secrets"),
        *("logs", "info", "namespaces", "healthz", "_", "health", "ready"),
    }
)
#: Longer numbers may be phones.
_ID = re.compile(r"[0-9]{1,9}")
_FILE = re.compile(r"[a-z_-]{1,40}\.(?:js|css|svg|html|json)")

log = structlog.get_logger()


class RequestLog(AbstractAccessLogger):
    """Logs each response of the edge; probes at DEBUG, as there are many while a system starts."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log one request; `time` is in seconds."""
        function = request.get(FUNCTION)
        call_id = response.headers.get(CALL_ID)
        path = loggable(request.raw_path, function)
        write = log.debug if path == HEALTH else log.info
        write(
            "request",
            method=request.method if request.method in _METHODS else "other",
            path=path,
            status=response.status,
            ms=round(time * 1000, 1),
            **({"function": function} if function else {}),
            **_correlation(call_id),
        )


def loggable(raw: str, function: str | None = None) -> str:
    """The path without its query, and `*` for each word that is not ours."""
    words = _WORDS if function is None else _WORDS | {function}
    segments = raw.partition("?")[0].split("/")
    logged = [segment if _is_loggable(segment, words) else HIDDEN for segment in segments]
    # An external id may be a phone, however short.
    for index, segment in enumerate(segments[1:], 1):
        if segments[index - 1] == "by-external-id" and segment:
            logged[index] = HIDDEN
    return "/".join(logged)


def _is_loggable(segment: str, words: frozenset[str]) -> bool:
    return segment in words or bool(_ID.fullmatch(segment) or _FILE.fullmatch(segment))


def _correlation(call_id: str | None) -> dict[str, str]:
    """The id under which functions log the call; they replace a malformed one with their own."""
    if call_id and trace_context.is_correlation_id(call_id):
        return {"correlation_id": call_id}
    return {}

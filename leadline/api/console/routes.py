"""The routes of the console's API.

Handlers import what they need when first called: to serve the page itself, neither Postgres nor
RabbitMQ nor Redis is needed.
"""

import re
from collections.abc import Callable

from flask import Request

from leadline.api.console import actions, reads
from leadline.api.paths import path_of
from leadline.errors import Forbidden, MethodNotAllowed, PathNotFound
from leadline.runtime.http.endpoint import RawResponse, authorize, json_response
from leadline.runtime.telemetry import trace_context

#: Pages of other origins can't send this header: without keys it proves that our page sent the
#: request.
OWN_HEADER = "X-Leadline-Console"

# Twice if the page was opened as `/console/`: its own links are relative and begin with `console/`.
_PREFIX = re.compile(r"^(?:/console(?=/|$))*/?")
_ID = "([0-9]{1,19})"
_JOB = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"


def subpath(request: Request) -> str:
    """The path below `/console`, with or without the gateway's prefix."""
    return _PREFIX.sub("", path_of(request))


def serve(request: Request, path: str) -> RawResponse:
    """Serve a query or an action of the page. `endpoint` has checked the scope of actions already.

    Raises:
        PathNotFound, MethodNotAllowed: no such endpoint.
        Unauthorized, Forbidden: no key, or one without the scope `read`, for a query; without keys,
            an action that another page may have sent.
        InvalidRequest: invalid parameters.
        DependencyDown: a server that the handler needs can't be reached.
    """
    method = "GET" if request.method == "HEAD" else request.method
    is_without_keys = not trace_context.caller()  # a key would have named its caller
    if method == "GET":
        authorize(request, "read")
    elif is_without_keys and OWN_HEADER not in request.headers:
        raise Forbidden(f"Without keys, an action needs the header {OWN_HEADER}.")
    for verb, pattern, handle in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match and verb != method:
            raise MethodNotAllowed("GET, HEAD" if verb == "GET" else verb)
        if match:
            response = json_response(handle(request, *match.groups()))
            response.headers["Cache-Control"] = "no-store"
            return response
    raise PathNotFound


_Route = tuple[str, str, Callable[..., object]]
_ROUTES: tuple[_Route, ...] = (
    ("GET", r"api/status", reads.status),
    ("GET", r"api/settled", reads.settled_events),
    ("GET", r"api/users", reads.users),
    ("GET", rf"api/users/{_ID}", reads.user),
    ("POST", r"api/users/export", actions.export),
    ("POST", rf"api/users/{_ID}/again", actions.resync),
    ("POST", rf"api/users/{_ID}/sent", actions.sent_calls),
    ("GET", r"api/failures", reads.failures),
    ("GET", r"api/first-match", reads.first_match),
    ("POST", rf"api/users/{_ID}/choose", actions.choose),
    ("POST", r"api/jobs", actions.begin_job),
    ("POST", rf"api/jobs/{_JOB}/cancel", actions.cancel_job),
    ("POST", r"api/pause", actions.pause),
    ("POST", r"api/resume", actions.resume),
    ("GET", r"api/audit", reads.trail),
    ("GET", r"api/dead-letters", reads.dead_letters),
    ("GET", r"api/dead-letters/([0-9a-f]{12})", reads.dead_letter),
    ("POST", r"api/dead-letters/(replay|discard)", actions.decide_dead_letters),
)

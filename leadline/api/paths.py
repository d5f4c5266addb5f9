"""Paths of the API, with or without a gateway's prefix.

Each function that matches a path records its route in `environ[ROUTE]`, for metrics and traces.
"""

import re

from flask import Request

from leadline.errors import PathNotFound, UserNotFound
from leadline.runtime.telemetry.http_metrics import ROUTE
from leadline.users.model import MAX_ID

_FUNCTION_PREFIX = re.compile(r"^/function/[a-z0-9.-]+(?=/|$)")
_EXTERNAL_ID_PATH = re.compile(r"^(?:/users)?/by-external-id/(.+)$", re.DOTALL)
_BATCH = frozenset({"/users/batch", "/batch"})
_USER_PATH = re.compile(r"^(?:/users)?/([0-9]{1,19})(/move)?/?$")


def path_of(request: Request) -> str:
    """The path without the gateway's prefix `/function/<name>`."""
    return _FUNCTION_PREFIX.sub("", request.path) or "/"


def require_collection(request: Request) -> None:
    """Require the path `/users` or `/`.

    Raises:
        PathNotFound: any other path.
    """
    if path_of(request).rstrip("/") not in {"", "/users"}:
        raise PathNotFound
    request.environ[ROUTE] = "/users"


def match_stages(request: Request) -> bool:
    """Match the path `/stages`; False if it is another one."""
    if path_of(request).rstrip("/") != "/stages":
        return False
    request.environ[ROUTE] = "/stages"
    return True


def require_batch(request: Request) -> None:
    """Require the path `/users/batch`, `/batch` or `/`.

    Raises:
        PathNotFound: any other path.
    """
    if path_of(request).rstrip("/") not in {"", *_BATCH}:
        raise PathNotFound
    request.environ[ROUTE] = "/users/batch"


def parse_id(digits: str) -> int:
    """The id in a path; an id beyond bigint becomes the largest one, which no record has."""
    return min(int(digits), MAX_ID)


def is_batch(path: str) -> bool:
    """Whether this is the path of a batch, which may be larger than other bodies."""
    return _FUNCTION_PREFIX.sub("", path).rstrip("/") in _BATCH


def external_id(request: Request) -> str:
    """The external id from `/users/by-external-id/x`, `/by-external-id/x` or `?external_id=x`.

    Raises:
        PathNotFound: no external id.
    """
    path = path_of(request)
    match = _EXTERNAL_ID_PATH.match(path)
    text = match[1] if match else request.args.get("external_id")
    if text is None or not (match or path == "/"):
        raise PathNotFound
    request.environ[ROUTE] = "/users/by-external-id/{external_id}"
    return text


def user_id(request: Request, suffix: str = "") -> int:
    """The user's id from `/users/1`, `/1` or `?id=1`.

    `suffix`: what may follow the id in the paths of the calling function, such as `/move`; a call
    that bypasses the edge may leave it out.

    Raises:
        UserNotFound: no valid user id.
    """
    path = path_of(request)
    if path.rstrip("/") in {"", "/users", suffix, f"/users{suffix}"}:
        path = f"/{request.args.get('id', '')}"
    match = _USER_PATH.match(path)
    if not match or (match[2] and match[2] != suffix):
        raise UserNotFound
    number = int(match[1])
    if not 1 <= number <= MAX_ID:
        raise UserNotFound
    request.environ[ROUTE] = "/users/{id}" + suffix
    return number

"""Paths of the API, with or without a gateway's prefix."""

import re

from flask import Request

from leadline.errors import PathNotFound, UserNotFound
from leadline.runtime.telemetry.http_metrics import ROUTE

MAX_ID = 2**63 - 1

_FUNCTION_PREFIX = re.compile(r"^/function/[a-z0-9.-]+(?=/|$)")
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


def user_id(request: Request, suffix: str = "") -> int:
    """The user's id from `/users/1`, `/1` or `?id=1`; `suffix` may be `/move`.

    Raises:
        UserNotFound: no valid user id in the path.
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

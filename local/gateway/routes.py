"""Routes requests to functions: REST paths by method, /function/<name> by name."""

from dataclasses import dataclass
from http import HTTPStatus

#: The functions' namespace, named as in faas-netes; the only one.
NAMESPACE = "openfaas-fn"

#: Path and method of every call, and its function; GET serves HEAD, too.
ROUTES = {
    "/users": {"POST": "create-user", "GET": "list-users"},
    "/users/batch": {"POST": "upsert-users"},
    "/users/by-external-id/{external_id}": {"PUT": "upsert-users"},
    "/users/{id}": {"GET": "get-user", "PATCH": "update-user", "DELETE": "delete-user"},
    "/users/{id}/move": {"POST": "move-user"},
    "/stages": {"GET": "list-users"},
    "/openapi.json": {"GET": "openapi"},
    "/docs": {"GET": "openapi"},
    "/docs/{file}": {"GET": "openapi"},
}
#: Served to our own processes only.
INTERNAL = frozenset({"bitrix-handler", "reply-handler", "outbox-relay"})
#: Serves its path with everything below: the page, its files and its data.
CONSOLE = "console"
_CONSOLE = {"GET": CONSOLE, "POST": CONSOLE}


@dataclass(frozen=True)
class Target:
    """A function's name, and the path and query for it."""

    function: str
    path: str


@dataclass(frozen=True)
class Refusal:
    """A response of the edge itself."""

    status: HTTPStatus
    detail: str
    allow: str = ""


def route(method: str, raw: str) -> Target | Refusal:
    """The function for a method and an undecoded path with its query, or why there is none."""
    path, mark, query = raw.partition("?")
    segments = path.split("/")[1:]
    if len(segments) >= 2 and segments[0] == "function" and segments[1]:
        # As the OpenFaaS gateway does: the function gets what follows its name.
        return Target(
            segments[1].removesuffix(f".{NAMESPACE}"), "/" + "/".join(segments[2:]) + mark + query
        )
    methods = _methods(segments)
    if methods is None:
        return Refusal(HTTPStatus.NOT_FOUND, "There is nothing at this path.")
    function = methods.get("GET" if method == "HEAD" else method)
    if function is None:
        allow = ", ".join(methods)
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"This path supports {allow}.", allow)
    return Target(function, raw)


def _methods(segments: list[str]) -> dict[str, str] | None:
    if segments[0] == CONSOLE:
        return _CONSOLE
    for path, methods in ROUTES.items():
        pattern = path.split("/")[1:]
        if len(pattern) == len(segments) and all(map(_fits, pattern, segments)):
            return methods
    return None


def _fits(pattern: str, segment: str) -> bool:
    return bool(segment) if pattern.startswith("{") else segment == pattern

"""The HTTP API as an OpenAPI 3.1 document, generated from the functions' own models.

https://spec.openapis.org/oas/v3.1.1.html
"""

from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import TypeAdapter

import leadline
from leadline.api.paths import MAX_ID
from leadline.runtime.http import problem
from leadline.runtime.http.auth import Scope
from leadline.runtime.http.endpoint import IDEMPOTENCY_KEY_MAX
from leadline.settings import settings
from leadline.users.model import Changes, Move, NewUser, User
from leadline.users.views import Page, Query, UserDetails

Json = dict[str, Any]

_READING = (401, 403, 503)
_WRITING = (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)

#: Response headers by status, in addition to X-Call-Id.
_HEADERS_OF = {
    200: ("ETag",),
    201: ("ETag", "Location"),
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_DESCRIPTIONS = {
    400: "The JSON is malformed or nested too deeply, or the Idempotency-Key is empty or too long.",
    401: "No key was sent.",
    403: "The key is unknown or lacks the scope.",
    404: "There is no such user.",
    408: "The body took longer than 20 s.",
    409: "A request with this Idempotency-Key is still in progress.",
    412: "The user has changed since the version in If-Match.",
    413: "The body is longer than 64 KiB.",
    415: "The body is not JSON.",
    422: "Some fields are invalid or unknown, or the Idempotency-Key was used for another request.",
    429: "This key has exceeded its rate of writes.",
    503: "Postgres can't be reached; safe to repeat.",
}
_KEYS = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of the operator's keys; scopes: read, write, operate.",
    }
}


@dataclass(frozen=True)
class Operation:
    """An operation of the API and its models."""

    method: str
    path: str
    name: str
    summary: str
    scope: Scope
    response: Any
    status: int = 200
    body: Any = None
    query: Any = None
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = field(default=_READING)


OPERATIONS = (
    Operation("GET", "/users", "listUsers", "List users by id, a page at a time.", "read", Page,
              query=Query, errors=(*_READING, 422)),
    Operation("POST", "/users", "createUser", "Create a user.", "write", User, status=201,
              body=NewUser, headers=("Idempotency-Key",), errors=_WRITING),
    Operation("GET", "/users/{id}", "getUser", "Show a user and its sync status.", "read",
              UserDetails, errors=(*_READING, 404)),
    Operation("PATCH", "/users/{id}", "updateUser", "Change the given fields.", "write", User,
              body=Changes, headers=("Idempotency-Key", "If-Match"), errors=(*_WRITING, 404, 412)),
    Operation("POST", "/users/{id}/move", "moveUser", "Set the stage.", "write", User, body=Move,
              headers=("Idempotency-Key", "If-Match"), errors=(*_WRITING, 404, 412)),
)  # fmt: skip


@cache
def document() -> bytes:
    """The document as JSON, with or without keys by this system's settings."""
    return orjson.dumps(build(with_keys=settings().auth == "on"))


def build(*, with_keys: bool = True) -> Json:
    """The document; `with_keys`: operations require an API key."""
    paths: Json = {}
    for operation in OPERATIONS:
        described = _describe(operation) | _security(operation, with_keys=with_keys)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadline",
            "version": leadline.__version__,
            "description": "Keeps users and Bitrix24 leads in sync. "
            "A write answered with 2xx reaches the CRM or ends as a recorded error.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "headers": _headers(),
            "responses": {_error_name(status): _error(status) for status in sorted(_DESCRIPTIONS)},
            "securitySchemes": _KEYS if with_keys else {},
        },
    }


def _describe(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters_of(operation),
        "responses": {
            str(operation.status): _success(operation),
            **{
                str(status): {"$ref": f"#/components/responses/{_error_name(status)}"}
                for status in sorted(operation.errors)
            },
        },
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _security(operation: Operation, *, with_keys: bool) -> Json:
    return {"security": [{"key": [operation.scope]}]} if with_keys else {}


def _parameters_of(operation: Operation) -> list[Json]:
    names = ["UserId"] if "{id}" in operation.path else []
    names += [*operation.headers, "X-Call-Id", "traceparent"]
    shared = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    return [*_query(operation.query), *shared]


def _query(model: Any) -> list[Json]:
    """The fields of a model as query parameters."""
    if model is None:
        return []
    schema = TypeAdapter(model).json_schema()
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(one)}
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: Json) -> Json:
    """A schema without null: a missing parameter is absent, never null."""
    (given,) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "title"}}
    return {**rest, **given} if rest.get("default", ...) is not None else given


def _success(operation: Operation) -> Json:
    answer: Json = {
        "description": HTTPStatus(operation.status).phrase,
        "headers": _header_references(operation.status if operation.response is not Page else 0),
        "content": {"application/json": {"schema": _reference(operation.response)}},
    }
    if operation.name == "createUser":
        answer["links"] = {
            other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
            for other in OPERATIONS
            if "{id}" in other.path
        }
    return answer


def _error(status: int) -> Json:
    return {
        "description": _DESCRIPTIONS[status],
        "headers": _header_references(status),
        "content": {
            problem.CONTENT_TYPE: {
                "schema": _reference(problem.Problem),
                "example": {
                    "type": "about:blank",
                    "title": HTTPStatus(status).phrase,
                    "status": status,
                    "detail": _DESCRIPTIONS[status],
                },
            }
        },
    }


def _error_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _header_references(status: int) -> Json:
    names = ("X-Call-Id", *_HEADERS_OF.get(status, ()))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _reference(model: Any) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas() -> Json:
    requests = [(model, "validation") for model in (NewUser, Changes, Move)]
    responses = [(model, "serialization") for model in (User, UserDetails, Page, problem.Problem)]
    inputs: Any = [(model, mode, TypeAdapter(model)) for model, mode in [*requests, *responses]]
    _, result = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas: Json = result["$defs"]
    return schemas


def _parameters() -> Json:
    return {
        "UserId": {
            "name": "id",
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_ID},
            "example": 1,
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key and request give the same answer for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX},
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        },
        "If-Match": {
            "name": "If-Match",
            "in": "header",
            "description": "The version from ETag; nothing is written if it is another one now.",
            "schema": {"type": "string", "pattern": r'^(?:\*|"[0-9]{1,18}")$'},
            "example": '"1"',
        },
        "X-Call-Id": {
            "name": "X-Call-Id",
            "in": "header",
            "description": "Appears in all log lines of the call; generated if missing.",
            "schema": {"type": "string"},
            "example": "order-4711",
        },
        "traceparent": {
            "name": "traceparent",
            "in": "header",
            "description": "W3C Trace Context, continued up to the call to Bitrix24.",
            "schema": {"type": "string"},
            "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    }


def _headers() -> Json:
    described = {
        "X-Call-Id": ("The call id, given or generated.", {"type": "string"}),
        "ETag": ("The user's version.", {"type": "string", "pattern": '^"[0-9]+"$'}),
        "Location": ("The new user's path.", {"type": "string", "pattern": "^/users/[0-9]+$"}),
        "Retry-After": ("Seconds to wait before retrying.", {"type": "integer", "minimum": 1}),
        "WWW-Authenticate": ("How to authenticate.", {"type": "string"}),
    }
    return {
        name: {"description": text, "required": True, "schema": schema}
        for name, (text, schema) in described.items()
    }

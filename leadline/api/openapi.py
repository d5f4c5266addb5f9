"""The HTTP API as an OpenAPI 3.1 document, drawn from the models that the functions parse by.

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
from leadline.runtime.http.endpoint import KEY_MAX
from leadline.settings import settings
from leadline.users.model import Changes, Move, NewUser, User
from leadline.users.views import Page, Query, UserDetails

Json = dict[str, Any]

_READING = (401, 403, 503)
_WRITING = (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)

#: Headers beside X-Call-Id, by status.
_HEADERS_OF = {
    200: ("ETag",),
    201: ("ETag", "Location"),
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_WHEN = {
    400: "The JSON is malformed or nested too deeply, or the Idempotency-Key is empty or too long.",
    401: "No key was sent.",
    403: "The key is not known, or does not have the scope.",
    404: "There is no such user.",
    408: "The body took longer than 20 s.",
    409: "A request with this Idempotency-Key is still being served.",
    412: "`If-Match` names another version: somebody was faster.",
    413: "The body is longer than 64 KiB.",
    415: "The body is not JSON.",
    422: "Some fields are invalid or unknown, or the Idempotency-Key was used for another request.",
    429: "This key writes too fast.",
    503: "Postgres can't be reached; repeating is safe.",
}
_KEYS = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of the operator's keys; scopes: read, write, operate.",
    }
}


@dataclass(frozen=True)
class Call:
    """One call of the API and the models behind it."""

    method: str
    path: str
    name: str
    summary: str
    scope: Scope
    answer: Any
    status: int = 200
    body: Any = None
    query: Any = None
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = field(default=_READING)


CALLS = (
    Call("GET", "/users", "listUsers", "List users by id, a page at a time.", "read", Page,
         query=Query, errors=(*_READING, 422)),
    Call("POST", "/users", "createUser", "Create a user.", "write", User, status=201,
         body=NewUser, headers=("Idempotency-Key",), errors=_WRITING),
    Call("GET", "/users/{id}", "getUser", "Show a user and its sync status.", "read",
         UserDetails, errors=(*_READING, 404)),
    Call("PATCH", "/users/{id}", "updateUser", "Change what is given, leave the rest.", "write",
         User, body=Changes, headers=("Idempotency-Key", "If-Match"),
         errors=(*_WRITING, 404, 412)),
    Call("POST", "/users/{id}/move", "moveUser", "Set the stage.", "write", User, body=Move,
         headers=("Idempotency-Key", "If-Match"), errors=(*_WRITING, 404, 412)),
)  # fmt: skip


@cache
def document() -> bytes:
    """The whole document of this system, which may want no keys, as JSON."""
    return orjson.dumps(build(with_keys=settings().auth == "on"))


def build(*, with_keys: bool = True) -> Json:
    """The whole document."""
    paths: Json = {}
    for call in CALLS:
        operation = _operation(call) | _security(call, with_keys=with_keys)
        paths.setdefault(call.path, {})[call.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadline",
            "version": leadline.__version__,
            "description": "Users here, leads in Bitrix24, kept in step. "
            "A write that is answered 2xx reaches the CRM or ends as a recorded error.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "headers": _headers(),
            "responses": {_error_name(status): _error(status) for status in sorted(_WHEN)},
            "securitySchemes": _KEYS if with_keys else {},
        },
    }


def _operation(call: Call) -> Json:
    operation: Json = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": [*_parameters_of(call)],
        "responses": {
            str(call.status): _success(call),
            **{
                str(status): {"$ref": f"#/components/responses/{_error_name(status)}"}
                for status in sorted(call.errors)
            },
        },
    }
    if call.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(call.body)}},
        }
    return operation


def _security(call: Call, *, with_keys: bool) -> Json:
    return {"security": [{"key": [call.scope]}]} if with_keys else {}


def _parameters_of(call: Call) -> list[Json]:
    names = ["UserId"] if "{id}" in call.path else []
    names += [*call.headers, "X-Call-Id", "traceparent"]
    return [*_query(call.query), *({"$ref": f"#/components/parameters/{name}"} for name in names)]


def _query(model: Any) -> list[Json]:
    """A model's fields as parameters of the query."""
    if model is None:
        return []
    schema = TypeAdapter(model).json_schema()
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(one)}
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: Json) -> Json:
    """A parameter that is not given is absent, never null."""
    (given,) = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "title"}}
    return {**kept, **given} if kept.get("default", ...) is not None else given


def _success(call: Call) -> Json:
    answer: Json = {
        "description": HTTPStatus(call.status).phrase,
        "headers": _header_references(call.status if call.answer is not Page else 0),
        "content": {"application/json": {"schema": _reference(call.answer)}},
    }
    if call.name == "createUser":
        answer["links"] = {
            other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
            for other in CALLS
            if "{id}" in other.path
        }
    return answer


def _error(status: int) -> Json:
    return {
        "description": _WHEN[status],
        "headers": _header_references(status),
        "content": {
            problem.CONTENT_TYPE: {
                "schema": _reference(problem.Problem),
                "example": {
                    "type": "about:blank",
                    "title": HTTPStatus(status).phrase,
                    "status": status,
                    "detail": _WHEN[status],
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
    read = [(model, "validation") for model in (NewUser, Changes, Move)]
    told = [(model, "serialization") for model in (User, UserDetails, Page, problem.Problem)]
    inputs: Any = [(model, mode, TypeAdapter(model)) for model, mode in [*read, *told]]
    _, found = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas: Json = found["$defs"]
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
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX},
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        },
        "If-Match": {
            "name": "If-Match",
            "in": "header",
            "description": "The version, as ETag gave it: nothing is written if it is another now.",
            "schema": {"type": "string", "pattern": r'^(?:\*|"[0-9]{1,18}")$'},
            "example": '"1"',
        },
        "X-Call-Id": {
            "name": "X-Call-Id",
            "in": "header",
            "description": "Stands in every log line about the call; made where none is given.",
            "schema": {"type": "string"},
            "example": "order-4711",
        },
        "traceparent": {
            "name": "traceparent",
            "in": "header",
            "description": "W3C Trace Context, gone on with up to the call of Bitrix24.",
            "schema": {"type": "string"},
            "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    }


def _headers() -> Json:
    described = {
        "X-Call-Id": ("The call's id, as it was given or made.", {"type": "string"}),
        "ETag": ("The user's version.", {"type": "string", "pattern": '^"[0-9]+"$'}),
        "Location": ("The new user's path.", {"type": "string", "pattern": "^/users/[0-9]+$"}),
        "Retry-After": ("Seconds to wait before the next try.", {"type": "integer", "minimum": 1}),
        "WWW-Authenticate": ("How to prove who calls.", {"type": "string"}),
    }
    return {
        name: {"description": text, "required": True, "schema": schema}
        for name, (text, schema) in described.items()
    }

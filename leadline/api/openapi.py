"""The HTTP API as an OpenAPI 3.1 document, generated from the functions' own models.

https://spec.openapis.org/oas/v3.1.1.html. `python -m leadline.api.openapi` prints it.
"""

import sys
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

import leadline
from leadline.api import openapi_components as components
from leadline.api.openapi_operations import OPERATIONS, TAGS, Operation
from leadline.mapping.current import field_map
from leadline.runtime.http import problem
from leadline.settings import settings
from leadline.users.further_fields import further_schemas, with_fields
from leadline.users.model import (
    Batch,
    BatchItem,
    Changes,
    Move,
    NewUser,
    Upsert,
    WithFurtherFields,
)
from leadline.users.views import BatchAnswer, Page, StageList, User, UserDetails

if TYPE_CHECKING:
    from leadline.mapping.field_map import FieldMap

Json = dict[str, Any]

#: Headers of errors by status, in addition to X-Call-Id.
_ERROR_HEADERS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
#: The meaning of each error status, and the problem code of its example.
_ERRORS = {
    400: (
        "The JSON is malformed or nested too deeply, or the Idempotency-Key is empty or too long.",
        "malformed_json",
    ),
    401: ("No key was sent.", "key_missing"),
    403: ("The key is unknown, has expired or lacks the scope.", "key_unknown"),
    404: ("There is no such user.", "user_not_found"),
    408: ("The body took longer than 20 s.", "body_timeout"),
    409: (
        "A request with this Idempotency-Key is in progress, or another user has the external id.",
        "request_in_progress",
    ),
    410: ("The user was erased.", "user_erased"),
    412: ("The user has changed since the version in If-Match.", "version_mismatch"),
    413: ("The body is longer than 64 KiB, that of a batch than 1 MiB.", "body_too_large"),
    415: ("The body is not JSON.", "not_json"),
    422: (
        "Some fields are invalid or unknown, or the Idempotency-Key was used for another request.",
        "invalid_fields",
    ),
    429: ("This key has exceeded its rate of writes.", "rate_limited"),
    503: ("Postgres can't be reached; safe to repeat.", "dependency_unavailable"),
}
_REQUESTS = (NewUser, Changes, Move, Upsert, Batch, BatchItem)
_RESPONSES = (User, UserDetails, Page, BatchAnswer, StageList, problem.Problem)
_SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of the operator's keys; scopes: read, write, operate, erase.",
    }
}


def document() -> bytes:
    """The document as JSON, with the fields of the map, and keys if the settings require them."""
    return _document(settings().auth == "on", field_map())


@lru_cache(maxsize=2)
def _document(with_keys: bool, _: "FieldMap | None") -> bytes:  # noqa: FBT001 - a key of the cache
    """The document; built again after a change of the map, which is only a key of the cache."""
    return orjson.dumps(build(with_keys=with_keys))


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
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": components.parameters(),
            "headers": components.headers(),
            "responses": {_error_name(status): _error(status) for status in sorted(_ERRORS)},
            "securitySchemes": _SECURITY_SCHEMES if with_keys else {},
        },
    }


def _describe(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters_of(operation),
        "responses": {
            **{str(status): _success(operation, status) for status in operation.statuses},
            **{
                str(status): {"$ref": f"#/components/responses/{_error_name(status)}"}
                for status in sorted(operation.errors)
            },
        },
    }
    if operation.body:
        content = {"schema": _reference(operation.body), "example": operation.body_example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _security(operation: Operation, *, with_keys: bool) -> Json:
    return {"security": [{"key": [operation.scope]}]} if with_keys else {}


def _parameters_of(operation: Operation) -> list[Json]:
    in_path = {"{id}": "UserId", "{external_id}": "ExternalId"}
    names = [name for part, name in in_path.items() if part in operation.path]
    names += [*operation.headers, "X-Call-Id", "traceparent"]
    shared = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    return [*_query(operation.query), *shared]


def _query(model: Any) -> list[Json]:
    """The fields of a model as query parameters."""
    if model is None:
        return []
    schema = TypeAdapter(model).json_schema()
    return [
        {"name": name, "in": "query", "required": False, **_parameter(property_schema)}
        for name, property_schema in schema["properties"].items()
    ]


def _parameter(schema: Json) -> Json:
    """A parameter with this schema. It has no null: a parameter without a value is left out."""
    (non_null,) = [
        branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"
    ]
    merged = {**schema, **non_null}
    merged.pop("anyOf", None)
    merged.pop("title", None)
    if "default" in merged and merged["default"] is None:
        del merged["default"]
    if "description" not in merged:
        return {"schema": merged}
    return {"description": merged.pop("description"), "schema": merged}


def _success(operation: Operation, status: int) -> Json:
    names = ("ETag", "Location") if status == HTTPStatus.CREATED else operation.response_headers
    response: Json = {
        "description": HTTPStatus(status).phrase,
        "headers": _header_references(names),
    }
    if operation.response is None or status == HTTPStatus.NOT_MODIFIED:
        return response
    content = {"schema": _reference(operation.response), "example": operation.response_example}
    response["content"] = {"application/json": content}
    if operation.name == "createUser":
        response["links"] = {
            other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
            for other in OPERATIONS
            if "{id}" in other.path
        }
    return response


def _error(status: int) -> Json:
    text, code = _ERRORS[status]
    headers = _header_references(_ERROR_HEADERS.get(status, ()))
    if status == HTTPStatus.CONFLICT:  # sent while a request is in progress, not for a taken id
        headers["Retry-After"] = {**components.headers()["Retry-After"], "required": False}
    return {
        "description": text,
        "headers": headers,
        "content": {
            problem.CONTENT_TYPE: {
                "schema": _reference(problem.Problem),
                "example": problem.of_type(code, HTTPStatus(status), text),
            }
        },
    }


def _error_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _header_references(names: tuple[str, ...]) -> Json:
    """The headers of a response; `ETag-Of-List` is the description of ETag for a list."""
    return {
        name.removesuffix("-Of-List"): {"$ref": f"#/components/headers/{name}"}
        for name in ("X-Call-Id", *names)
    }


def _reference(model: Any) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas() -> Json:
    requests = [(_with_fields(model), "validation") for model in _REQUESTS]
    responses = [(model, "serialization") for model in _RESPONSES]
    inputs: Any = [(model, mode, TypeAdapter(model)) for model, mode in [*requests, *responses]]
    _, result = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas: Json = result["$defs"]
    for name in ("User", "UserSummary", "UserDetails"):
        schemas[name]["properties"] |= further_schemas()
    return schemas


def _with_fields(model: Any) -> Any:
    """The model as the functions have it, with the fields of the map."""
    return with_fields(model) if issubclass(model, WithFurtherFields) else model


if __name__ == "__main__":  # clients/openapi.json
    sys.stdout.buffer.write(orjson.dumps(build(), option=orjson.OPT_INDENT_2) + b"\n")

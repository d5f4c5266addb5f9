"""Errors as RFC 9457 problem details, in one format everywhere."""

from http import HTTPStatus
from typing import Annotated, NotRequired

import orjson
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from leadline.errors import (
    FieldError,
    InvalidRequest,
    LeadlineError,
    MethodNotAllowed,
    MissingScope,
    Unauthorized,
)

CONTENT_TYPE = "application/problem+json"
#: Maximum characters of texts that may quote a request, so that a body stays below 8 kB.
DETAIL_MAX = 500
FIELD_MAX = 100
#: Maximum bytes of the listed fields; the detail says how many more there are.
FIELDS_MAX_BYTES = 4000
#: The same in the answer to one of up to 1,000 users.
ITEM_FIELDS_MAX_BYTES = 500
#: The page that describes each type; docs/problems.md is the same.
TYPES = "/docs/problems#"
#: The types of errors that are not a LeadlineError, such as the edge's.
_BY_STATUS = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "key_missing",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "path_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "body_timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not_json",
    HTTPStatus.EXPECTATION_FAILED: "expectation_failed",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_fields",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "head_too_large",
    HTTPStatus.NOT_IMPLEMENTED: "not_implemented",
    HTTPStatus.BAD_GATEWAY: "function_failed",
    HTTPStatus.SERVICE_UNAVAILABLE: "function_unreachable",
    HTTPStatus.GATEWAY_TIMEOUT: "function_timeout",
}


@with_config(ConfigDict(extra="forbid"))
class Problem(TypedDict):
    """The problem details of RFC 9457."""

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    code: Annotated[str, Field(description="The stable name of the type.")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: NotRequired[str]
    errors: Annotated[NotRequired[list[FieldError]], Field(description="Where the status is 422.")]


def document(status: HTTPStatus, detail: str) -> bytes:
    """The body of an error response for an error that is not a LeadlineError."""
    return orjson.dumps(of_type(_BY_STATUS.get(status, "internal_error"), status, detail))


def of(error: LeadlineError, fields_max_bytes: int = FIELDS_MAX_BYTES) -> Problem:
    """The problem details of this error; its fields become `errors`, up to a maximum size."""
    problem = of_type(error.problem, error.status, error.detail)
    fields = error.fields if isinstance(error, InvalidRequest) else []
    listed = _truncated(fields, fields_max_bytes)
    if omitted := len(fields) - len(listed):
        problem["detail"] += f" {omitted} more are not listed."
    if listed:
        problem["errors"] = listed
    return problem


def of_type(code: str, status: HTTPStatus, detail: str) -> Problem:
    """Problem details of this type."""
    return {
        "type": f"{TYPES}{code}",
        "code": code,
        "title": status.phrase,
        "status": status.value,
        "detail": detail[:DETAIL_MAX],
    }


def _truncated(fields: list[FieldError], bytes_left: int) -> list[FieldError]:
    """The first fields, up to this many bytes, with names and messages cut."""
    listed: list[FieldError] = []
    for field in fields:
        cut = FieldError(field=field["field"][:FIELD_MAX], message=field["message"][:DETAIL_MAX])
        bytes_left -= len(orjson.dumps(cut))
        if bytes_left < 0:
            break
        listed.append(cut)
    return listed


def response_for(error: LeadlineError) -> tuple[bytes, HTTPStatus, dict[str, str]]:
    """Body, status and headers of the response to this error."""
    headers = {"Content-Type": CONTENT_TYPE}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="leadline"'
    if isinstance(error, MissingScope):  # RFC 6750, 3.1
        headers["WWW-Authenticate"] = (
            f'Bearer realm="leadline", error="insufficient_scope", scope="{error.scope}"'
        )
    return orjson.dumps(of(error)), error.status, headers

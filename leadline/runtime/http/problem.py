"""Errors as RFC 9457 problem details: one shape everywhere."""

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


@with_config(ConfigDict(extra="forbid"))
class Problem(TypedDict):
    """The problem details of RFC 9457."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: NotRequired[str]
    errors: Annotated[NotRequired[list[FieldError]], Field(description="Where the status is 422.")]


def document(
    status: HTTPStatus, detail: str | None = None, fields: list[FieldError] | None = None
) -> bytes:
    """The body of an error response; `fields` becomes `errors`, up to a maximum size."""
    problem: Problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
    }
    listed = _truncated(fields or [])
    omitted = len(fields or []) - len(listed)
    if detail:
        problem["detail"] = detail[:DETAIL_MAX] + (
            f" {omitted} more are not listed." if omitted else ""
        )
    if listed:
        problem["errors"] = listed
    return orjson.dumps(problem)


def _truncated(fields: list[FieldError]) -> list[FieldError]:
    """The first fields, up to the maximum size, with names and messages cut."""
    listed: list[FieldError] = []
    bytes_left = FIELDS_MAX_BYTES
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
    fields = error.fields if isinstance(error, InvalidRequest) else None
    return document(error.status, error.detail, fields), error.status, headers

"""Errors as RFC 9457 problem details: one shape everywhere."""

from http import HTTPStatus
from typing import Annotated, NotRequired

import orjson
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from leadline.runtime.errors import (
    FieldError,
    InvalidRequest,
    LeadlineError,
    MethodNotAllowed,
    MissingScope,
    Unauthorized,
)

CONTENT_TYPE = "application/problem+json"


@with_config(ConfigDict(extra="forbid"))
class Problem(TypedDict):
    """An error as RFC 9457 tells it."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: NotRequired[str]
    errors: Annotated[NotRequired[list[FieldError]], Field(description="Where the status is 422.")]


def document(
    status: HTTPStatus, detail: str | None = None, fields: list[FieldError] | None = None
) -> bytes:
    """The body of an error answer; `fields` becomes the `errors` member of a 422."""
    problem: Problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
    }
    if detail:
        problem["detail"] = detail
    if fields:
        problem["errors"] = fields
    return orjson.dumps(problem)


def of(error: LeadlineError) -> tuple[bytes, HTTPStatus, dict[str, str]]:
    """Body, status and headers that tell a client of this error."""
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

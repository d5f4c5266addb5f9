"""Errors as RFC 9457 problem details: one shape everywhere."""

from http import HTTPStatus
from typing import Annotated, NotRequired

import orjson
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from leadline.errors import (
    FieldError,
    InvalidRequest,
    LeadlineError,
    MethodNotAllowed,
    MissingScope,
    Unauthorized,
)

CONTENT_TYPE = "application/problem+json"
#: Characters of what an error says: however much of a request it names, its body stays below 8 kB.
DETAIL_MAX = 500
FIELD_MAX = 100
#: Bytes of the fields that are listed; how many more there are stands in the detail.
FIELDS_MAX_BYTES = 4000


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
    """The body of an error answer; `fields` becomes the `errors` member of a 422, cut to the first
    ones where they are many.
    """
    problem: Problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
    }
    listed = _first(fields or [])
    more = len(fields or []) - len(listed)
    if detail:
        problem["detail"] = detail[:DETAIL_MAX] + (f" {more} more are not listed." if more else "")
    if listed:
        problem["errors"] = listed
    return orjson.dumps(problem)


def _first(fields: list[FieldError]) -> list[FieldError]:
    """So many of them as fit, each with its name and message cut."""
    listed: list[FieldError] = []
    left = FIELDS_MAX_BYTES
    for one in fields:
        cut = FieldError(field=one["field"][:FIELD_MAX], message=one["message"][:DETAIL_MAX])
        left -= len(orjson.dumps(cut))
        if left < 0:
            break
        listed.append(cut)
    return listed


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

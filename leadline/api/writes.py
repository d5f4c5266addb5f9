"""What the writing calls share: the body, If-Match, the idempotency key, and the response."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Request

from leadline.errors import DatabaseDown, InvalidRequest, VersionMismatch
from leadline.ledger.event import AcceptedWrite, IdempotencyKey
from leadline.runtime.http.endpoint import (
    IDEMPOTENCY_KEY_MAX,
    Model,
    RawResponse,
    json_response,
    parse,
)
from leadline.runtime.telemetry import trace_context
from leadline.users import further_fields, stages
from leadline.users.model import NO_STAGE, User, UserId

if TYPE_CHECKING:  # cold start
    from leadline.ledger.upsert.outcome import Outcome


def parse_body(model: type[Model], request: Request) -> Model:
    """Parse the body of a write.

    Raises:
        InvalidRequest: as `parse`; for a stage that no portal can have, the error lists the allowed
            ones, if Postgres can be reached.
    """
    try:
        return parse(model, request)
    except InvalidRequest as error:
        if any(field["message"] == NO_STAGE for field in error.fields):
            with suppress(DatabaseDown):
                stages.with_allowed_stages(error, stages.allowed())
        raise


def expected_version(request: Request, current: Callable[[], int]) -> int | None:
    """The version in If-Match (RFC 9110, 13.1.1); None if any version is accepted.

    If the header names several versions, the current one of the user is returned, provided that it
    is among them; `current` reads it. A weak tag accepts no version.

    Raises:
        VersionMismatch: no value is a version of ours, or none of several is the current one.
        UserNotFound, UserErased, DatabaseDown: as `current`.
    """
    tags = request.environ.get("HTTP_IF_MATCH", "*").strip()
    if tags == "*":
        return None
    stripped = [tag.strip(' \t"') for tag in tags.split(",")]
    versions = {int(tag) for tag in stripped if _is_version(tag)}
    if len(versions) > 1:
        versions &= {current()}
    if not versions:
        raise VersionMismatch
    return versions.pop()


def version_reader(user_id: UserId) -> Callable[[], int]:
    """A function that reads the version of this user."""

    def read() -> int:
        from leadline.users import queries  # noqa: PLC0415 - cold start: few requests name several versions

        return queries.get(user_id)["sync"]["version"]

    return read


def _is_version(tag: str) -> bool:
    return tag.isascii() and tag.isdigit() and len(tag) <= 18  # fits a bigint


def idempotency_key(request: Request, *parts: object) -> IdempotencyKey | None:
    """The request's idempotency key, bound to its caller and content: `parts` and If-Match.

    Raises:
        InvalidRequest: the key is empty or too long.
    """
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX:
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX} characters.",
            status=HTTPStatus.BAD_REQUEST,
            problem="invalid_idempotency_key",
        )
    return bind_key(trace_context.caller(), key, request.environ.get("HTTP_IF_MATCH"), *parts)


def bind_key(caller: str, key: str | None, *parts: object) -> IdempotencyKey | None:
    """An idempotency key bound to its caller and to `parts`, the content of the request."""
    if key is None:
        return None
    fingerprint = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
    return IdempotencyKey(caller, key, fingerprint)


def user_response(accepted: AcceptedWrite, *, created: bool = False) -> RawResponse:
    """The response: the user after this write, with its version as ETag."""
    return _response(accepted.event.user, accepted.event.version, created=created)


def outcome_response(outcome: "Outcome") -> RawResponse:
    """The response to an upsert that was accepted."""
    assert outcome.user is not None  # noqa: S101 - an accepted upsert has its user
    return _response(outcome.user, outcome.version, created=outcome.kind == "created")


def body_of(user: User) -> dict[str, object]:
    """The JSON body of a user in responses to writes."""
    external_id = {} if user.external_id is None else {"external_id": user.external_id}
    return {**user.body(), **external_id, **further_fields.in_response(user.fields)}


def _response(user: User, version: int, *, created: bool) -> RawResponse:
    headers = {"ETag": f'"{version}"'}
    if created:
        headers["Location"] = f"/users/{user.id}"
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return json_response(body_of(user), status, **headers)

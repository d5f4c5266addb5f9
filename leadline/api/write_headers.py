"""Headers of the writing calls: preconditions, idempotency keys, and the response."""

import hashlib
from contextlib import suppress
from http import HTTPStatus

from flask import Request

from leadline.errors import DatabaseDown, InvalidRequest, VersionMismatch
from leadline.ledger.event import Accepted, IdempotencyKey
from leadline.ledger.upsert.outcome import Outcome
from leadline.runtime.http.endpoint import (
    IDEMPOTENCY_KEY_MAX,
    Model,
    RawResponse,
    json_response,
    parse,
)
from leadline.runtime.telemetry import trace_context
from leadline.users import further_fields, stages
from leadline.users.model import NO_STAGE, User


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


def expected_version(request: Request) -> int | None:
    """The version in If-Match (RFC 9110, 13.1.1); None if any version is accepted.

    Raises:
        VersionMismatch: the value can't be the version of a user.
    """
    tag = request.environ.get("HTTP_IF_MATCH", "*").strip()
    if tag == "*":
        return None
    digits = tag.strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise VersionMismatch
    return int(digits)


def idempotency_key(request: Request, *parts: object) -> IdempotencyKey | None:
    """The request's idempotency key, bound to its caller and content.

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


def user_response(accepted: Accepted, *, created: bool = False) -> RawResponse:
    """The response: the user after this write, with its version as ETag."""
    return _response(accepted.event.user, accepted.event.version, created=created)


def outcome_response(outcome: Outcome) -> RawResponse:
    """The response to an upsert that was accepted."""
    assert outcome.user is not None  # noqa: S101 - an accepted one has it
    return _response(outcome.user, outcome.version, created=outcome.kind == "created")


def body_of(user: User) -> dict[str, object]:
    """The JSON body of a user in responses to writes."""
    own_id = {} if user.external_id is None else {"external_id": user.external_id}
    return {**user.body(), **own_id, **further_fields.shown(user.fields)}


def _response(user: User, version: int, *, created: bool) -> RawResponse:
    headers = {"ETag": f'"{version}"'}
    if created:
        headers["Location"] = f"/users/{user.id}"
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return json_response(body_of(user), status, **headers)

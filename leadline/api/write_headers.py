"""Headers of the three writing calls: preconditions, idempotency keys, and the response."""

import hashlib
from http import HTTPStatus

from flask import Request

from leadline.errors import InvalidRequest, VersionMismatch
from leadline.ledger.event import Accepted, IdempotencyKey
from leadline.runtime.http.endpoint import IDEMPOTENCY_KEY_MAX, RawResponse, json_response
from leadline.runtime.telemetry import trace_context


def expected_version(request: Request) -> int | None:
    """The version in If-Match (RFC 9110, 13.1.1); None if any version is accepted.

    Raises:
        VersionMismatch: the value can't be a version of ours.
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
    event = accepted.event
    headers = {"ETag": f'"{event.version}"'}
    if created:
        headers["Location"] = f"/users/{event.user.id}"
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return json_response(event.user.body(), status, **headers)

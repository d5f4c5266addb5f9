"""Upserts by external id: one user, or a batch of them."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from flask import Request
from pydantic import BaseModel

from leadline.api import writes
from leadline.errors import DuplicateExternalId, InvalidRequest, LeadlineError, VersionMismatch
from leadline.ledger.upsert import accept
from leadline.ledger.upsert.outcome import Item, Outcome
from leadline.runtime.http import problem, rate_limit
from leadline.runtime.http.endpoint import RawResponse, json_response, parse, validate
from leadline.runtime.telemetry import trace_context
from leadline.users import further_fields, stages
from leadline.users.model import Batch, BatchItem, ExternalId, Upsert
from leadline.users.views import Query

#: Maximum size of the body of a batch, in bytes: a kilobyte for each user.
BATCH_BODY_LIMIT = 1024 * 1024


class _Path(BaseModel):
    """The part of a path that is validated."""

    external_id: ExternalId


def put(request: Request, external_id: str) -> RawResponse:
    """Create or change the user with this external id.

    Raises:
        InvalidRequest: 415, 400, 422 as `parse`, or an unknown stage.
        VersionMismatch: If-Match names another version, or there is no such user.
    """
    validate(_Path, {"external_id": external_id})
    body = writes.parse_body(further_fields.with_fields(Upsert), request)
    item = Item(
        body.full_name,
        body.phone,
        body.stage,
        external_id,
        body.further(),
        expected_version=writes.expected_version(request, _version_reader(external_id)),
        must_exist="HTTP_IF_MATCH" in request.environ,
    )
    key = writes.idempotency_key(request, "upsert", external_id, body)
    return writes.outcome_response(accept.accept_one(item, key))


def _version_reader(external_id: str) -> Callable[[], int]:
    """A function that reads the version of the user with this external id."""

    def read() -> int:
        from leadline.users import queries  # noqa: PLC0415 - cold start: few requests name several versions

        matches = queries.page(Query(external_id=external_id))["items"]
        if not matches:
            raise VersionMismatch
        return matches[0]["sync"]["version"]

    return read


def batch(request: Request) -> RawResponse:
    """Create or change users independently of each other: an outcome for each, in order.

    Raises:
        InvalidRequest: 415, 400, 422 as `parse`, for the batch as a whole.
        TooManyRequests: over the rate limit, which counts users.
    """
    users = parse(Batch, request).users
    if caller := trace_context.caller():  # "" without keys, and then without a rate limit
        rate_limit.writes().acquire_more(caller, len(users))
    key = writes.idempotency_key(request, "batch", users)
    allowed = stages.allowed()
    items, rejected = _parse(users, allowed)
    outcomes = accept.accept_many(items, key)
    # A valid item without an outcome has a stage that the portal does not have.
    rejected |= dict.fromkeys(items.keys() - outcomes.keys(), stages.unknown(allowed))
    answers = [
        _accepted(outcomes[position]) if position in outcomes else _rejected(rejected[position])
        for position in range(len(users))
    ]
    return json_response({"items": answers})


def _parse(
    users: Sequence[Any], allowed: Sequence[str]
) -> tuple[dict[int, Item], dict[int, LeadlineError]]:
    """The valid users and the errors of the others, by position."""
    item_model = further_fields.with_fields(BatchItem)
    items: dict[int, Item] = {}
    rejected: dict[int, LeadlineError] = {}
    external_ids: set[str] = set()
    for position, user in enumerate(users):
        try:
            parsed = validate(item_model, user)
            if parsed.external_id in external_ids:
                raise DuplicateExternalId
        except InvalidRequest as error:
            rejected[position] = stages.with_allowed_stages(error, allowed)
            continue
        if parsed.external_id is not None:
            external_ids.add(parsed.external_id)
        items[position] = Item(
            parsed.full_name, parsed.phone, parsed.stage, parsed.external_id, parsed.further()
        )
    return items, rejected


def _accepted(outcome: Outcome) -> dict[str, object]:
    assert outcome.user is not None  # noqa: S101 - an accepted item has its user
    status = HTTPStatus.CREATED if outcome.kind == "created" else HTTPStatus.OK
    return {
        "status": status.value,
        "version": outcome.version,
        "user": writes.body_of(outcome.user),
    }


def _rejected(error: LeadlineError) -> dict[str, object]:
    return {
        "status": error.status.value,
        "problem": problem.of(error, problem.ITEM_FIELDS_MAX_BYTES),
    }

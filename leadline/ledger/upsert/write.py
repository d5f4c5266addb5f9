"""Write upserts to Postgres: one statement stores all users and their events."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from uuid_utils import uuid7

from leadline.errors import DatabaseBusy, IdempotencyKeyReused, RequestInProgress
from leadline.ledger import write_sql
from leadline.ledger.event import IdempotencyKey, event_from_row
from leadline.ledger.upsert import sql
from leadline.ledger.upsert.outcome import Item, Outcome
from leadline.ledger.write import query_json
from leadline.mapping.current import field_map
from leadline.mapping.targets import Value
from leadline.runtime.postgres import json_rows
from leadline.runtime.postgres.pool import UNIQUE_VIOLATION, Row, StatementError, database
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.users import further_fields
from leadline.users.model import DEFAULT_STAGES, User, UserId

#: How often the statement is tried while other requests create some of its users.
ATTEMPTS = 10


def upsert(items: Mapping[int, Item], key: IdempotencyKey | None) -> dict[int, Outcome]:
    """Create or change users, each external id at most once; returns the outcomes, by position.

    Raises:
        IdempotencyKeyReused: the idempotency key was used for another request.
        RequestInProgress: a request with this idempotency key is in progress.
        DatabaseDown: nothing was stored, or the outcome is unknown; safe to repeat with the same
            key or if all items have an external id.
    """
    for _ in range(ATTEMPTS):
        try:
            return _run(items, key)
        except DatabaseBusy:
            raise (RequestInProgress if key else DatabaseBusy) from None
        except StatementError as error:
            if error.code != UNIQUE_VIOLATION:
                raise
            if not key or error.constraint == write_sql.EXTERNAL_ID:
                continue  # another request has just created one of these users: it exists now
        # The idempotency key exists: it has outcomes, or has expired.
        earlier = first_outcomes(items, key)
        if earlier is not None:
            return earlier
        database().run(write_sql.FORGET_EXPIRED, caller=key.caller, key=key.key)
    raise DatabaseBusy


def _run(items: Mapping[int, Item], key: IdempotencyKey | None) -> dict[int, Outcome]:
    trace = trace_context.current()
    params: dict[str, object] = {
        "items": orjson.dumps(
            [_params(position, item) for position, item in items.items()]
        ).decode(),
        "first_stage": DEFAULT_STAGES[0],
        "grace_s": settings().publish_grace_s,
        "correlation_id": trace.correlation_id,
        "traceparent": trace.traceparent,
        "written_by": trace_context.caller() or None,
    }
    if key is None:
        rows = query_json(sql.UPSERT, **params)
    else:
        key_params = {"caller": key.caller, "key": key.key, "fingerprint": key.fingerprint}
        rows = query_json(sql.UPSERT_ONCE, **params, **key_params)
    return {row["position"]: _outcome(row) for row in rows}


def _params(position: int, item: Item) -> dict[str, object]:
    new_fields = further_fields.defaults() | dict(item.fields or {})
    return {
        "position": position,
        "event_id": str(uuid7()),
        "external_id": item.external_id,
        "full_name": item.full_name,
        "phone": item.phone,
        "stage": item.stage,
        "fields": item.fields,
        "new_fields": new_fields or None,
        "expected_version": item.expected_version,
        "must_exist": item.must_exist,
        "must_be_new": item.must_be_new,
    }


def _outcome(row: Row) -> Outcome:
    kind = row["kind"]
    if kind in ("taken", "stale", "missing"):
        return Outcome(kind)
    if row["event_id"] is not None:
        event = event_from_row(row)
        return Outcome(kind, event.user, event.version, event)
    user_id = UserId(row["id"])
    user = User(
        user_id, row["full_name"], row["phone"], row["stage"], row["external_id"], row["fields"]
    )
    return Outcome(kind, user, row["version"])


def first_outcomes(items: Mapping[int, Item], key: IdempotencyKey) -> dict[int, Outcome] | None:
    """The outcomes of the first request with this key; None if there was none in its lifetime.

    Raises:
        IdempotencyKeyReused: the idempotency key was used for another request.
        DatabaseDown: Postgres can't be reached.
    """
    rows = json_rows.parse(database().run(sql.FIRST_OUTCOMES, caller=key.caller, key=key.key))
    if not rows:
        return None
    if rows[0]["fingerprint"] != key.fingerprint.hex():
        raise IdempotencyKeyReused
    stored = {outcome["position"]: outcome for outcome in rows[0]["outcomes"]}
    fields = _fields_of(stored.values())
    return {
        position: _repeated(items[position], outcome, fields.get(outcome["id"]))
        for position, outcome in stored.items()
    }


def _fields_of(outcomes: Collection[dict[str, Any]]) -> dict[int, dict[str, Value]]:
    """The further fields of these users as of these versions, by user id; none without a map."""
    if field_map() is None:
        return {}
    rows = database().run(
        sql.FIELDS_OF_VERSIONS,
        ids=[outcome["id"] for outcome in outcomes],
        versions=[outcome["version"] for outcome in outcomes],
    )
    return {row["id"]: row["fields"] for row in rows}


def _repeated(item: Item, stored: dict[str, Any], fields: Mapping[str, Value] | None) -> Outcome:
    """An outcome of an earlier request with the same items."""
    user_id = UserId(stored["id"])
    user = User(user_id, item.full_name, item.phone, stored["stage"], item.external_id, fields)
    return Outcome(stored["kind"], user, stored["version"])

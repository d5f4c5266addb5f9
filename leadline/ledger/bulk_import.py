"""Import users in bulk: many in one statement, each with its event, each at most once.

Users migrated from another system keep their ids. A given lead id is trusted: such a user counts as
synced and nothing is sent to Bitrix24; `leadline reconcile` verifies it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import orjson
from pydantic import Field
from uuid_utils.compat import uuid7

from leadline.errors import BadConfiguration, InvalidRequest
from leadline.ledger.write_sql import EXTERNAL_ID
from leadline.mapping.targets import Value
from leadline.messages.attributes import QUIET
from leadline.messages.contract import Id
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import (
    INSUFFICIENT_PRIVILEGE,
    UNIQUE_VIOLATION,
    StatementError,
    database,
)
from leadline.runtime.telemetry import trace_context
from leadline.users.model import NewUser

#: The caller under which idempotency keys are stored; no API key can have this name.
CALLER = "leadline import"


class Line(NewUser):
    """A line of the file: a user to import, with its existing ids if any."""

    id: Id | None = Field(None, strict=False)
    bitrix_lead_id: Id | None = Field(None, strict=False)


#: Fields with a value unique to each user, and their types in Postgres.
Unique = Literal["bitrix_lead_id", "external_id"]
_UNIQUE: dict[Unique, str] = {"bitrix_lead_id": "bigint", "external_id": "text"}
#: Unique indexes of users, and what another user has if an insert violates one.
_TAKEN = {"users_unique_lead": "a lead", EXTERNAL_ID: "an external id"}

_ENTER = """
WITH line AS (
    SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:names AS text[]), CAST(:phones AS text[]),
                         CAST(:stages AS text[]), CAST(:event_ids AS uuid[]),
                         CAST(:ids AS bigint[]), CAST(:lead_ids AS bigint[]),
                         CAST(:external_ids AS text[]), CAST(:fields AS text[])) WITH ORDINALITY
        AS line (key, full_name, phone, stage, event_id, id, lead_id, external_id, further,
                 position)
), fresh AS (
    SELECT row_number() OVER (ORDER BY position) AS rank, line.* FROM line, leadline_present()
    WHERE NOT EXISTS (
        SELECT FROM idempotency_keys AS known WHERE known.caller = :caller AND known.key = line.key
    ) AND NOT EXISTS (SELECT FROM users WHERE users.id = line.id)
), written AS (
    INSERT INTO users ({id} full_name, phone, stage, fields, external_id, bitrix_lead_id,
                       synced_version, sync_status)
    SELECT {id} full_name, phone, stage, CAST(further AS jsonb), external_id, lead_id,
           CASE WHEN lead_id IS NULL THEN 0 ELSE 1 END,
           CASE WHEN lead_id IS NULL THEN 'waiting' ELSE 'synced' END
    FROM fresh ORDER BY rank
    RETURNING id, full_name, phone, stage, fields, bitrix_lead_id IS NULL AS needs_lead
), ranked AS (
    -- Any pairing of users with event ids and keys is valid: neither depends on the user.
    SELECT row_number() OVER (ORDER BY id) AS rank, written.* FROM written
), event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, fields, changed,
                        correlation_id, traceparent, caller, state, due_at, settled_at)
    SELECT fresh.event_id, ranked.id, 1, 'create_card', ranked.full_name, ranked.phone,
           ranked.stage, ranked.fields, :changed, :correlation_id, :traceparent,
           :operator, CASE WHEN needs_lead THEN 'open' ELSE 'synced' END,
           CASE WHEN needs_lead THEN now() END, CASE WHEN needs_lead THEN NULL ELSE now() END
    FROM ranked JOIN fresh USING (rank)
)
INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
SELECT :caller, key, :fingerprint, event_id FROM fresh
RETURNING 1 AS one
"""
_ENTER_NEW, _ENTER_WITH_IDS = _ENTER.format(id=""), _ENTER.format(id="id,")

# Leaves out lines that were imported before: their key or their id is known.
_TAKEN_BY_OTHERS = """
SELECT line.key FROM unnest(
    CAST(:keys AS text[]), CAST(:ids AS bigint[]), CAST(:values AS {kind}[])
) AS line (key, id, value)
JOIN users ON users.{field} = line.value
WHERE users.id IS DISTINCT FROM line.id AND NOT EXISTS (
    SELECT FROM idempotency_keys AS known WHERE known.caller = :caller AND known.key = line.key
)
"""

_RESERVE = """
SELECT setval(CAST(pg_get_serial_sequence('users', 'id') AS regclass),
              GREATEST(:last_id, (SELECT last_value FROM users_id_seq)))
"""


def reserve_ids(last_id: int) -> None:
    """Advance the id sequence past `last_id`, so that the HTTP API never assigns an imported id.

    Raises:
        BadConfiguration: the login does not own the table.
        DatabaseDown: Postgres can't be reached.
    """
    try:
        database().run(_RESERVE, last_id=last_id)
    except StatementError as error:
        if error.code != INSUFFICIENT_PRIVILEGE:
            raise
        raise BadConfiguration(
            "to import ids, set DATABASE_URL to the login that owns the tables, as to migrate"
        ) from None


def taken_by_others(users: Sequence[tuple[str, Line]], field: Unique) -> frozenset[str]:
    """The keys of the users whose lead or external id already belongs to another user.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    users_with_value = [(key, user) for key, user in users if getattr(user, field)]
    if not users_with_value:
        return frozenset()
    rows = database().run(
        _TAKEN_BY_OTHERS.format(field=field, kind=_UNIQUE[field]),
        keys=[key for key, _ in users_with_value],
        ids=[user.id for _, user in users_with_value],
        values=[getattr(user, field) for _, user in users_with_value],
        caller=CALLER,
    )
    return frozenset(row["key"] for row in rows)


def create(users: Sequence[tuple[str, Line]], *, quiet: bool = False) -> int:
    """Store these users, each under an idempotency key; returns how many were new.

    Either all users have an id or none has. A user is skipped if its key was used within the last
    24 hours or its id exists. `quiet`: the new leads start no robots, if the portal supports that.

    Raises:
        InvalidRequest: a lead or an external id was assigned to another user meanwhile; nothing
            was stored.
        DatabaseDown: nothing was stored, or the outcome is unknown; safe to repeat.
    """
    trace = trace_context.current()
    has_ids = any(user.id for _, user in users)
    try:
        rows = run_in_current_history(
            _ENTER_WITH_IDS if has_ids else _ENTER_NEW,
            keys=[key for key, _ in users],
            names=[user.full_name for _, user in users],
            phones=[user.phone for _, user in users],
            stages=[user.stage for _, user in users],
            event_ids=[str(uuid7()) for _ in users],
            ids=[user.id for _, user in users],
            lead_ids=[user.bitrix_lead_id for _, user in users],
            external_ids=[user.external_id for _, user in users],
            fields=[_json(user.further()) for _, user in users],
            caller=CALLER,
            changed=f"full_name,phone,stage,{QUIET}" if quiet else "full_name,phone,stage",
            fingerprint=hashlib.sha256(CALLER.encode()).digest(),
            correlation_id=trace.correlation_id,
            traceparent=trace.traceparent,
            operator=trace_context.caller() or None,
        )
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION or error.constraint not in _TAKEN:
            raise
        taken = _TAKEN[error.constraint]
        raise InvalidRequest(
            f"{taken} in this file was just assigned to another user: start again to recheck all"
        ) from None
    return len(rows)


def _json(fields: Mapping[str, Value] | None) -> str | None:
    return orjson.dumps(fields).decode() if fields else None

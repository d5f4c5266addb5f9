"""Users in Postgres: each write is one statement that also enters its event in the ledger.

One statement is one transaction: never a user without its event, nor an event without its user.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from leadline.runtime import context
from leadline.runtime.database import (
    UNIQUE_VIOLATION,
    Row,
    StatementError,
    database,
)
from leadline.runtime.errors import (
    DatabaseBusy,
    DatabaseDown,
    InvalidRequest,
    StillServed,
    UserNotFound,
    VersionMismatch,
)
from leadline.runtime.settings import settings
from leadline.users.model import Changes, LeadId, Move, NewUser, User, UserId

#: How long an idempotency key answers with its first answer.
KEY_LIFETIME = "24 hours"


@dataclass(frozen=True, slots=True)
class Repeat:
    """An idempotency key: who sent it, and a hash of what was asked for under it."""

    caller: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A write as the ledger holds it: the user's whole state right after it."""

    id: UUID
    action: str
    user: User
    version: int
    bitrix_lead_id: LeadId | None
    #: The fields that the client gave.
    changed: tuple[str, ...]
    #: The version that set the stage; None where the CRM is known to have had it.
    stage_version: int | None
    occurred_at: datetime
    correlation_id: str
    traceparent: str


_COLUMNS = "id, full_name, phone, stage, version, stage_version, synced_version, bitrix_lead_id"

_CREATE = f"""
WITH written AS (
    INSERT INTO users (full_name, phone, stage)
    VALUES (:full_name, :phone, :stage)
    RETURNING {_COLUMNS}
)"""

_CHANGE = f"""
WITH written AS (
    UPDATE users SET
        full_name = COALESCE(CAST(:full_name AS text), full_name),
        phone = COALESCE(CAST(:phone AS text), phone),
        stage = COALESCE(CAST(:stage AS text), stage),
        version = version + 1,
        stage_version = CASE WHEN CAST(:stage AS text) IS NULL THEN stage_version
            ELSE version + 1 END,
        sync_status = 'waiting', sync_reason = NULL, sync_attempts = 0,
        updated_at = now()
    WHERE id = :id
      AND (CAST(:expected_version AS bigint) IS NULL OR version = CAST(:expected_version AS bigint))
    RETURNING {_COLUMNS}
)"""

_EVENT = """, event AS (
    INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,
                        stage_version, correlation_id, traceparent, due_at)
    SELECT CAST(:event_id AS uuid), id, version, :action, full_name, phone, stage, :changed,
           CASE WHEN stage_version > synced_version THEN stage_version END,
           :correlation_id, :traceparent, now() + make_interval(secs => :grace_s)
    FROM written
    RETURNING id AS event_id, action, changed, events.stage_version, occurred_at, correlation_id,
              traceparent
)"""

_KEY = """, key AS (
    INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)
    SELECT :caller, :key, :fingerprint, event_id FROM event
)"""

_RESULT = """
SELECT id, full_name, phone, stage, version, bitrix_lead_id, event.* FROM written, event
"""

_REPEATED = f"""
SELECT key.fingerprint, event.user_id AS id, event.full_name, event.phone, event.stage,
       event.version, CAST(NULL AS bigint) AS bitrix_lead_id, event.id AS event_id, event.action,
       event.changed, event.stage_version, event.occurred_at, event.correlation_id,
       event.traceparent
FROM idempotency_keys AS key JOIN events AS event ON event.id = key.event_id
WHERE key.caller = :caller AND key.key = :key
  AND key.created_at > now() - interval '{KEY_LIFETIME}'
"""

_FORGET_EXPIRED = f"""
DELETE FROM idempotency_keys
WHERE caller = :caller AND key = :key AND created_at <= now() - interval '{KEY_LIFETIME}'
RETURNING key
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A write's event, and whether this very request made it (else an earlier one with its key)."""

    event: Event
    is_new: bool


def create(new: NewUser, repeat: Repeat | None) -> Accepted:
    """Store a user.

    Raises:
        InvalidRequest: the idempotency key was used for another request.
        StillServed: the idempotency key is being served right now.
        DatabaseDown: nothing was stored, or nobody can say; repeat with the same key.
    """
    fields: dict[str, object] = {"full_name": new.full_name, "phone": new.phone, "stage": new.stage}
    accepted = _write(_CREATE, "create_card", tuple(fields), fields, repeat)
    if accepted is None:
        raise DatabaseDown
    return accepted


def change(
    user_id: UserId, change: Changes | Move, expected_version: int | None, repeat: Repeat | None
) -> Accepted:
    """Change the given fields of a user.

    Raises:
        UserNotFound: there is none with this id.
        VersionMismatch: it has another version than the expected one.
        InvalidRequest, StillServed, DatabaseDown: as `create`.
    """
    given = change.model_dump(exclude_unset=True)
    params = {
        "id": user_id,
        "full_name": given.get("full_name"),
        "phone": given.get("phone"),
        "stage": given.get("stage"),
        "expected_version": expected_version,
    }
    action = "move_card" if isinstance(change, Move) else "update_card"
    accepted = _write(_CHANGE, action, tuple(given), params, repeat)
    if accepted is None:
        exists = database().run("SELECT 1 AS one FROM users WHERE id = :id", id=user_id)
        raise VersionMismatch if exists else UserNotFound
    return accepted


def _write(
    first: str,
    action: str,
    changed: tuple[str, ...],
    params: dict[str, object],
    repeat: Repeat | None,
) -> Accepted | None:
    """Run the statement; None where it found no row to write."""
    trace = context.current()
    all_params = {
        **params,
        "event_id": str(uuid7()),
        "action": action,
        "changed": ",".join(changed),
        "correlation_id": trace.correlation_id,
        "traceparent": trace.traceparent,
        "grace_s": settings().publish_grace_s,
    }
    if repeat is None:
        rows = database().run(first + _EVENT + _RESULT, **all_params)
        return Accepted(event_of(rows[0]), is_new=True) if rows else None
    return _write_once(first, all_params, repeat)


def _write_once(first: str, params: dict[str, object], repeat: Repeat) -> Accepted | None:
    """As `_write`, under an idempotency key: a key that exists rolls the whole statement back."""
    key = {"caller": repeat.caller, "key": repeat.key}
    sql = first + _EVENT + _KEY + _RESULT
    try:
        rows = database().run(sql, **params, **key, fingerprint=repeat.fingerprint)
    except DatabaseBusy:
        raise StillServed from None
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
        rows = []
    if rows:
        return Accepted(event_of(rows[0]), is_new=True)
    earlier = _earlier_answer(repeat)
    if earlier is None and database().run(_FORGET_EXPIRED, **key):
        return _write_once(first, params, repeat)
    return earlier


def _earlier_answer(repeat: Repeat) -> Accepted | None:
    rows = database().run(_REPEATED, caller=repeat.caller, key=repeat.key)
    if not rows:
        return None
    if bytes(rows[0]["fingerprint"]) != repeat.fingerprint:
        raise InvalidRequest("This idempotency key was used for another request.")
    return Accepted(event_of(rows[0]), is_new=False)


def event_of(row: Row) -> Event:
    """A ledger row, joined with the user's lead id, as an Event."""
    return Event(
        id=UUID(str(row["event_id"])),
        action=row["action"],
        user=User(UserId(row["id"]), row["full_name"], row["phone"], row["stage"]),
        version=row["version"],
        bitrix_lead_id=row["bitrix_lead_id"],
        changed=tuple(row["changed"].split(",")),
        stage_version=row["stage_version"],
        occurred_at=row["occurred_at"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
    )

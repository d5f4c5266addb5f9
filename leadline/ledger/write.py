"""Write users to Postgres: one statement stores the user and its event.

One statement is one transaction: no user without its event, no event without its user.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import orjson
from uuid_utils import uuid7

from leadline.errors import (
    DatabaseBusy,
    DatabaseDown,
    ExternalIdTaken,
    IdempotencyKeyReused,
    LeadlineError,
    RequestInProgress,
    UserErased,
    UserNotFound,
    VersionMismatch,
)
from leadline.ledger import write_sql
from leadline.ledger.event import AcceptedWrite, Event, IdempotencyKey, event_from_row
from leadline.runtime.concurrency.coalescing import Coalescer
from leadline.runtime.postgres import json_rows
from leadline.runtime.postgres.installation import run_in_current_history
from leadline.runtime.postgres.pool import (
    UNIQUE_VIOLATION,
    Row,
    StatementError,
    database,
)
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.users.model import Changes, Move, NewUser, UserId

#: A write as a JSON record of the statements in `write_sql`.
_WriteParams = dict[str, object]


def create(new: NewUser, key: IdempotencyKey | None) -> AcceptedWrite:
    """Store a user.

    Raises:
        IdempotencyKeyReused: the idempotency key was used for another request.
        UserErased: it was used for a user that has been erased since.
        RequestInProgress: a request with this idempotency key is in progress.
        DatabaseDown: nothing was stored, or the outcome is unknown; repeat with the same key.
    """
    core_fields = {"full_name": new.full_name, "phone": new.phone, "stage": new.stage}
    further = new.further()
    write = _params(
        "create_card", (*core_fields, *(further or ())), {**core_fields, "fields": further}
    )
    if key is None:
        accepted = _write_grouped(_creates, write_sql.CREATE, write)
    else:
        accepted = _write_idempotent(write_sql.CREATE_ONCE, write, key)
    if accepted is None:  # another unique value was taken, such as an id after a restore: repeat
        raise DatabaseDown
    return accepted


def change(
    user_id: UserId,
    changes: Changes | Move,
    expected_version: int | None,
    key: IdempotencyKey | None,
) -> AcceptedWrite:
    """Change the given fields of a user.

    Raises:
        UserNotFound: no user has this id.
        UserErased: the user was erased.
        VersionMismatch: its version is not the expected one.
        ExternalIdTaken: another user has the given external id.
        IdempotencyKeyReused, RequestInProgress, DatabaseDown: as `create`.
    """
    values = changes.model_dump(exclude_unset=True)
    changed = tuple(values)
    action = "move_card" if isinstance(changes, Move) else "update_card"
    condition = {"id": user_id, "expected_version": expected_version}
    if isinstance(changes, Changes) and (further := changes.further()):
        values = {name: value for name, value in values.items() if name not in further}
        values["fields"] = further
    write = _params(action, changed, {**condition, **values})
    try:
        if key is None:
            accepted = _write_grouped(_changes, write_sql.CHANGE, write)
        else:
            accepted = _write_idempotent(write_sql.CHANGE_ONCE, write, key)
    except StatementError as error:
        if error.constraint != write_sql.EXTERNAL_ID:
            raise
        raise ExternalIdTaken from None
    if accepted is None:
        raise _why_unchanged(user_id)
    return accepted


def _why_unchanged(user_id: UserId) -> LeadlineError:
    """Why no row matched a change of this user."""
    rows = database().run(
        "SELECT erased_at IS NOT NULL AS is_erased FROM users WHERE id = :id", id=user_id
    )
    if not rows:
        return UserNotFound()
    return UserErased() if rows[0]["is_erased"] else VersionMismatch()


def _params(action: str, changed: tuple[str, ...], fields: Mapping[str, object]) -> _WriteParams:
    trace = trace_context.current()
    return {
        **fields,
        "event_id": str(uuid7()),
        "action": action,
        "changed": ",".join(changed),
        "correlation_id": trace.correlation_id,
        "traceparent": trace.traceparent,
        "caller": trace_context.caller() or None,
    }


def _run_group(sql: str, writes: Sequence[_WriteParams]) -> list[Event | None]:
    """Run a group commit; returns the event of each write, None if it was not written.

    Of several writes to one user only the first to arrive is written; the others run alone.
    """
    # The last item of a key stays in a dictionary, so the order is reversed. A new user has no id.
    first_by_user = {write.get("id", write["event_id"]): write for write in reversed(writes)}
    try:
        events = _run(sql, list(first_by_user.values()))
    except StatementError:  # nothing was written: run alone, each write gets its own error
        return [None] * len(writes)
    return [events.get(str(write["event_id"])) for write in writes]


_creates = Coalescer(partial(_run_group, write_sql.CREATE), max_group=write_sql.MAX_GROUP)
_changes = Coalescer(
    partial(_run_group, write_sql.CHANGE_SKIP_LOCKED), max_group=write_sql.MAX_GROUP
)


def _write_grouped(
    group: Coalescer[_WriteParams, Event | None], single: str, write: _WriteParams
) -> AcceptedWrite | None:
    """Write in a group commit, else alone with the SQL `single`; None: no row matched."""
    event = group.submit(write)
    if event is None:
        event = next(iter(_run(single, [write]).values()), None)
    return AcceptedWrite(event, is_new=True) if event else None


def _write_idempotent(sql: str, write: _WriteParams, key: IdempotencyKey) -> AcceptedWrite | None:
    """Write under an idempotency key; None: no row matched."""
    params = {"caller": key.caller, "key": key.key}
    while True:
        events: dict[str, Event] = {}
        is_key_used = False
        try:
            events = _run(sql, [write], **params, fingerprint=key.fingerprint)
        except DatabaseBusy:
            raise RequestInProgress from None
        except StatementError as error:
            if error.code != UNIQUE_VIOLATION or error.constraint == write_sql.EXTERNAL_ID:
                raise
            is_key_used = error.constraint == write_sql.IDEMPOTENCY_KEY
        if events:
            return AcceptedWrite(next(iter(events.values())), is_new=True)
        earlier = _first_response(key)
        if earlier is not None:
            return earlier
        has_forgotten = bool(database().run(write_sql.FORGET_EXPIRED, **params))
        # The key can be used again if it had expired: another repeat may have been the one to
        # forget it.
        if not (has_forgotten or is_key_used):
            return None


def _run(sql: str, writes: Sequence[_WriteParams], **params: object) -> dict[str, Event]:
    """Run the statement; returns the events of the writes that it applied, by id."""
    rows = query_json(
        sql,
        writes=orjson.dumps(writes).decode(),
        grace_s=settings().publish_grace_s,
        **params,
    )
    events = map(event_from_row, rows)
    return {event.id: event for event in events}


def _first_response(key: IdempotencyKey) -> AcceptedWrite | None:
    """The write of the first request with this key; None if there was none in its lifetime."""
    rows = query_json(write_sql.FIRST_RESPONSE, caller=key.caller, key=key.key)
    if not rows:
        return None
    if rows[0]["is_erased"]:  # a repeated request must not restore the person
        raise UserErased
    if rows[0]["fingerprint"] != key.fingerprint.hex():
        raise IdempotencyKeyReused
    return AcceptedWrite(event_from_row(rows[0]), is_new=False)


def query_json(sql: str, **params: object) -> list[Row]:
    """The rows of a query built by `as_json`; raises as `run_in_current_history`."""
    return json_rows.parse(run_in_current_history(sql, **params))

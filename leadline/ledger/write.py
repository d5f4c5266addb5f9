"""Users in Postgres: each write is one statement that also enters its event in the ledger.

One statement is one transaction: never a user without its event, nor an event without its user.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import orjson
from uuid_utils import uuid7

from leadline.errors import (
    DatabaseBusy,
    DatabaseDown,
    InvalidRequest,
    RequestInProgress,
    UserNotFound,
    VersionMismatch,
)
from leadline.ledger import write_sql
from leadline.ledger.event import Accepted, Event, Repeat, event_of
from leadline.runtime.concurrency.group_commit import GroupCommit
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

#: What Postgres is told of a write.
_Write = dict[str, object]


def create(new: NewUser, repeat: Repeat | None) -> Accepted:
    """Store a user.

    Raises:
        InvalidRequest: the idempotency key was used for another request.
        RequestInProgress: the idempotency key is being served right now.
        DatabaseDown: nothing was stored, or nobody can say; repeat with the same key.
    """
    fields = {"full_name": new.full_name, "phone": new.phone, "stage": new.stage}
    write = _write_of("create_card", tuple(fields), fields)
    if repeat is None:
        accepted = _with_others(_creates, write_sql.CREATE, write)
    else:
        accepted = _under_key(write_sql.CREATE_ONCE, write, repeat)
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
        InvalidRequest, RequestInProgress, DatabaseDown: as `create`.
    """
    given = change.model_dump(exclude_unset=True)
    action = "move_card" if isinstance(change, Move) else "update_card"
    about = {"id": user_id, "expected_version": expected_version}
    write = _write_of(action, tuple(given), {**about, **given})
    if repeat is None:
        accepted = _with_others(_changes, write_sql.CHANGE, write)
    else:
        accepted = _under_key(write_sql.CHANGE_ONCE, write, repeat)
    if accepted is None:
        exists = database().run("SELECT 1 AS one FROM users WHERE id = :id", id=user_id)
        raise VersionMismatch if exists else UserNotFound
    return accepted


def _write_of(action: str, changed: tuple[str, ...], fields: Mapping[str, object]) -> _Write:
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


def _together(sql: str, writes: Sequence[_Write]) -> list[Event | None]:
    """The events of these writes; None for those that were not done, or not like this.

    Of several writes of one user the first in order of arrival is done, the others go alone.
    """
    first = {write.get("id", write["event_id"]): write for write in reversed(writes)}
    try:
        events = _run(sql, list(first.values()))
    except StatementError:  # nothing was written: whose fault it was shows when each goes alone
        return [None] * len(writes)
    return [events.get(str(write["event_id"])) for write in writes]


_creates = GroupCommit(partial(_together, write_sql.CREATE), at_most=write_sql.AT_MOST)
_changes = GroupCommit(partial(_together, write_sql.CHANGE_AT_ONCE), at_most=write_sql.AT_MOST)


def _with_others(
    together: GroupCommit[_Write, Event | None], alone: str, write: _Write
) -> Accepted | None:
    """Write with all who write just now, else `alone`; None where there was no row to write."""
    event = together.submit(write) or next(iter(_run(alone, [write]).values()), None)
    return Accepted(event, is_new=True) if event else None


def _under_key(sql: str, write: _Write, repeat: Repeat) -> Accepted | None:
    """Write under an idempotency key; None where it found no row to write."""
    key = {"caller": repeat.caller, "key": repeat.key}
    try:
        for event in _run(sql, [write], **key, fingerprint=repeat.fingerprint).values():
            return Accepted(event, is_new=True)
    except DatabaseBusy:
        raise RequestInProgress from None
    except StatementError as error:
        if error.code != UNIQUE_VIOLATION:
            raise
    earlier = _earlier_answer(repeat)
    if earlier is None and database().run(write_sql.FORGET_EXPIRED, **key):
        return _under_key(sql, write, repeat)
    return earlier


def _run(sql: str, writes: Sequence[_Write], **params: object) -> dict[str, Event]:
    rows = found(
        sql,
        writes=orjson.dumps(writes).decode(),
        grace_s=settings().publish_grace_s,
        **params,
    )
    events = map(event_of, rows)
    return {event.id: event for event in events}


def _earlier_answer(repeat: Repeat) -> Accepted | None:
    rows = found(write_sql.REPEATED, caller=repeat.caller, key=repeat.key)
    if not rows:
        return None
    if rows[0]["fingerprint"] != repeat.fingerprint.hex():
        raise InvalidRequest("This idempotency key was used for another request.")
    return Accepted(event_of(rows[0]), is_new=False)


def found(sql: str, **params: object) -> list[Row]:
    """The rows of a query made by `write_sql.as_json`; raises as `run_in_current_history`."""
    (row,) = run_in_current_history(sql, **params)
    rows: list[Row] = orjson.loads(row["found"])
    return rows

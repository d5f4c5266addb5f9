"""The audit trail: each write and each action of an operator, with caller, time and outcome.

A write records its caller in its event; an operator's action is a row of `audit`, entered before
the action starts. Both have time-ordered ids (UUIDv7) and the same retention. The column `about`
has an action's details, and once it has ended, its results, too; on the wire, the kind of an action
is `order`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import structlog
from uuid_utils.compat import uuid7

from leadline.errors import DatabaseDown
from leadline.runtime import secrets
from leadline.runtime.postgres.pool import INSUFFICIENT_PRIVILEGE, StatementError, database
from leadline.runtime.telemetry import trace_context

log = structlog.get_logger()

#: A search by caller scans this many of the newest writes: an index would slow down every write.
_SCANNED_WRITES = 100_000
#: Maximum number of user ids stored with an action; its counts cover all users.
_MAX_USER_IDS = 100

_BEGIN = """
INSERT INTO audit (id, caller, action, about)
VALUES (CAST(:id AS uuid), :caller, :action, CAST(:details AS jsonb))
"""
_END = """
UPDATE audit SET outcome = :outcome, about = about || CAST(:results AS jsonb)
WHERE id = CAST(:id AS uuid)
"""

_LAST_CALLER = "SELECT caller FROM audit WHERE action = :action ORDER BY id DESC LIMIT 1"

_TRAIL = """
WITH written AS (
    SELECT id, occurred_at AS at, caller, action, user_id, version, state AS outcome, reason,
           CAST(NULL AS jsonb) AS about, changed
    FROM events WHERE (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid)) {of_user}
    ORDER BY id DESC LIMIT :scanned
), actions AS (
    SELECT id, at, caller, action, CAST(NULL AS bigint), CAST(NULL AS bigint), outcome,
           CAST(NULL AS text), about, CAST(NULL AS text)
    FROM audit WHERE (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid))
      AND (CAST(:user_id AS bigint) IS NULL
           OR about @> jsonb_build_object('user_ids', jsonb_build_array(CAST(:user_id AS bigint))))
), trail AS (
    SELECT * FROM written UNION ALL SELECT * FROM actions
)
SELECT CAST(id AS text) AS id, at, caller, action, user_id, version, outcome, reason,
       CAST(about AS text) AS about, changed
FROM trail WHERE CAST(:caller AS text) IS NULL OR caller = CAST(:caller AS text)
ORDER BY id DESC LIMIT :limit
"""
_TRAIL_OF_ALL = _TRAIL.format(of_user="")
_TRAIL_OF_USER = _TRAIL.format(of_user="AND user_id = CAST(:user_id AS bigint)")


@contextmanager
def recorded(action: str, **details: object) -> Iterator[dict[str, object]]:
    """Record an operator's action before it starts, and its outcome after it ends.

    The block adds results to the yielded dict. If Postgres can't be reached or no database is set,
    the action is only logged: an operator must be able to pause calls even then.
    """
    results: dict[str, object] = {}
    entry_id = _begin(action, details)
    outcome = "failed"
    try:
        yield results
        outcome = "done"
    finally:
        _end(action, entry_id, outcome, results)
        # A reason is free text by an operator and may name people.
        logged = {name: value for name, value in details.items() if name != "reason"}
        log.info("operator", action=action, outcome=outcome, **logged, **results)


def first_user_ids(user_ids: list[int]) -> list[int]:
    """The user ids to store with an action, limited in number."""
    return user_ids[:_MAX_USER_IDS]


def last_caller(action: str) -> str | None:
    """The last caller of this action; None if unknown, as without authentication or after expiry.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_LAST_CALLER, action=action)
    return rows[0]["caller"] if rows else None


def page(
    limit: int,
    *,
    before: str | None = None,
    user_id: int | None = None,
    caller: str | None = None,
    only_actions: bool = False,
) -> dict[str, Any]:
    """A page of writes and actions, newest first; `next` is the `before` of the next page.

    `only_actions`: operators' actions, no writes. A search by `caller` scans the newest 100,000
    writes.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    scanned = limit + 1 if caller is None else _SCANNED_WRITES
    rows = database().run(
        _TRAIL_OF_ALL if user_id is None else _TRAIL_OF_USER,
        before=before,
        user_id=user_id,
        caller=caller,
        scanned=0 if only_actions else scanned,
        limit=limit + 1,
    )
    items = [_to_item(row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def _to_item(row: dict[str, Any]) -> dict[str, Any]:
    item = {name: value for name, value in row.items() if name != "changed"}
    if row["changed"] is not None:
        return {**item, "kind": "write", "about": {"changed": row["changed"].split(",")}}
    return {**item, "kind": "order", "about": orjson.loads(row["about"]) if row["about"] else {}}


def _begin(action: str, details: dict[str, object]) -> str | None:
    """Insert the row of an action; returns its id, None if it could not be stored."""
    if secrets.get("database-url") is None:
        log.error("not in the audit trail: no database is set", what=action)
        return None
    entry_id = str(uuid7())
    caller = trace_context.caller() or None
    details_json = orjson.dumps(details).decode()
    is_stored = _try_run(
        _BEGIN, action, id=entry_id, caller=caller, action=action, details=details_json
    )
    return entry_id if is_stored else None


def _end(action: str, entry_id: str | None, outcome: str, results: dict[str, object]) -> None:
    if entry_id is not None:
        results_json = orjson.dumps(results).decode()
        _try_run(_END, action, id=entry_id, outcome=outcome, results=results_json)


def _try_run(sql: str, what: str, **params: object) -> bool:
    """Run a statement for the action `what`.

    Returns False, and logs why, if Postgres is down or the login may only read.
    """
    try:
        database().run(sql, **params)
    except DatabaseDown:
        log.error("not in the audit trail: Postgres can't be reached", what=what)  # noqa: TRY400 - no defect
    except StatementError as error:
        if error.code != INSUFFICIENT_PRIVILEGE:
            raise
        log.error("not in the audit trail: this login may not write to it", what=what)  # noqa: TRY400
    else:
        return True
    return False

"""The audit trail: who has written or ordered what, when, and what came of it.

A write names its caller in its own event; what an operator does is a row of `audit`, entered before
it is done. Both have ids that grow with time (UUIDv7), and are deleted at the same age.
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

#: Longest name of a caller that is looked for.
CALLER_MAX = 200
#: A name is looked for in so many of the newest writes: no index makes each write dearer.
_LOOKED_AT = 100_000
#: An order names so many users, and counts them all.
_NAMED_MAX = 100

_BEGIN = """
INSERT INTO audit (id, caller, action, about)
VALUES (CAST(:id AS uuid), :caller, :action, CAST(:about AS jsonb))
"""
_END = """
UPDATE audit SET outcome = :outcome, about = about || CAST(:found AS jsonb)
WHERE id = CAST(:id AS uuid)
"""

_TRAIL = """
WITH written AS (
    SELECT id, occurred_at AS at, caller, action, user_id, version, state AS outcome, reason,
           CAST(NULL AS jsonb) AS about, changed
    FROM events WHERE (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid)) {of_user}
    ORDER BY id DESC LIMIT :looked_at
), ordered AS (
    SELECT id, at, caller, action, CAST(NULL AS bigint), CAST(NULL AS bigint), outcome,
           CAST(NULL AS text), about, CAST(NULL AS text)
    FROM audit WHERE (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid))
      AND (CAST(:user_id AS bigint) IS NULL
           OR about @> jsonb_build_object('user_ids', jsonb_build_array(CAST(:user_id AS bigint))))
), both_of_them AS (
    SELECT * FROM written UNION ALL SELECT * FROM ordered
)
SELECT CAST(id AS text) AS id, at, caller, action, user_id, version, outcome, reason,
       CAST(about AS text) AS about, changed
FROM both_of_them WHERE CAST(:caller AS text) IS NULL OR caller = CAST(:caller AS text)
ORDER BY id DESC LIMIT :limit
"""
_OF_EVERYBODY = _TRAIL.format(of_user="")
_OF_USER = _TRAIL.format(of_user="AND user_id = CAST(:user_id AS bigint)")


@contextmanager
def recorded(action: str, **about: object) -> Iterator[dict[str, object]]:
    """Enter what an operator is about to do, and then what came of it: what the block puts in here.

    Where Postgres can't be reached, the log alone tells of it: an operator must be able to pause
    calls then too. Without a database at hand it is the same.
    """
    found: dict[str, object] = {}
    number, outcome = _begin(action, about), "failed"
    try:
        yield found
        outcome = "done"
    finally:
        _end(number, outcome, found)
        # A reason is an operator's own words, which may name people.
        shown = {name: value for name, value in about.items() if name != "reason"}
        log.info("operator", action=action, outcome=outcome, **shown, **found)


def some_of(user_ids: list[int]) -> list[int]:
    """As many of these as an entry names."""
    return user_ids[:_NAMED_MAX]


def page(
    limit: int,
    *,
    before: str | None = None,
    user_id: int | None = None,
    caller: str | None = None,
    only_orders: bool = False,
) -> dict[str, Any]:
    """What was written and ordered last, the newest first, and the id to go on `before`.

    `only_orders`: without the writes. A `caller` is looked for among the newest 100,000 writes.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    looked_at = 0 if only_orders else limit + 1 if caller is None else _LOOKED_AT
    rows = database().run(
        _OF_EVERYBODY if user_id is None else _OF_USER,
        before=before,
        user_id=user_id,
        caller=caller,
        looked_at=looked_at,
        limit=limit + 1,
    )
    items = [_told(row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    about = orjson.loads(row["about"]) if row["about"] else {}
    kind = "order" if row["changed"] is None else "write"
    told = {**row, "kind": kind, "about": about}
    if kind == "write":
        told["about"] = {"changed": row["changed"].split(",")}
    del told["changed"]
    return told


def _begin(action: str, about: dict[str, object]) -> str | None:
    """The id of the entry, None where there is none."""
    if secrets.get("database-url") is None:
        log.warning("not in the audit trail: no database is set", what=action)
        return None
    number, caller = str(uuid7()), trace_context.caller() or None
    named = orjson.dumps(about).decode()
    is_kept = _keep(_BEGIN, action, id=number, caller=caller, action=action, about=named)
    return number if is_kept else None


def _end(number: str | None, outcome: str, found: dict[str, object]) -> None:
    if number is not None:
        came_to = orjson.dumps(found).decode()
        _keep(_END, outcome, id=number, outcome=outcome, found=came_to)


def _keep(sql: str, what: str, **params: object) -> bool:
    """Whether Postgres has taken it: a login that may only read takes nothing."""
    try:
        database().run(sql, **params)
    except DatabaseDown:
        log.warning("not in the audit trail: Postgres can't be reached", what=what)
    except StatementError as error:
        if error.code != INSUFFICIENT_PRIVILEGE:
            raise
        log.warning("not in the audit trail: this login may not write it", what=what)
    else:
        return True
    return False

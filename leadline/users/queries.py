"""Users as a reader sees them: with what became of their last write."""

from typing import cast

from leadline.errors import UserNotFound
from leadline.runtime.postgres.pool import Row, database
from leadline.users import filters
from leadline.users.model import UserId
from leadline.users.views import History, Listed, Page, Query, Shown

_ONE = f"""
SELECT {filters.COLUMNS}, (
    SELECT due_at FROM events
    WHERE user_id = users.id AND version = users.version AND state = 'failed'
) AS retry_at, (
    SELECT COALESCE(json_agg(last ORDER BY last.version DESC), CAST('[]' AS json)) FROM (
        SELECT id AS event_id, version, action, state, reason, attempts, occurred_at,
               published_at, settled_at
        FROM events WHERE user_id = users.id ORDER BY version DESC LIMIT 10
    ) AS last
) AS events
FROM users WHERE id = :id
"""  # noqa: S608 - of constants; values are parameters


def one(user_id: UserId) -> Shown:
    """The user with its `sync` block, in it the last ten events that the ledger still keeps.

    `retry_at` is there where a failed write is tried again by itself, and says when.

    Raises:
        UserNotFound: there is none with this id.
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_ONE, id=user_id)
    if not rows:
        raise UserNotFound
    user = with_sync(rows[0])
    history = cast("History", {**user["sync"], "events": rows[0]["events"]})
    if rows[0]["retry_at"] is not None:
        history["retry_at"] = rows[0]["retry_at"]
    return {**user, "sync": history}


def page(query: Query) -> Page:
    """Users with an id greater than `after`, by id; `next` continues where this page ends.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = filters.first(query.limit + 1, query.after, filters.of(query))
    return as_page(rows, query.limit)


def as_page(rows: list[Row], limit: int) -> Page:
    """A page out of rows of `among`, one more than `limit` of them where there is a next page."""
    items = [with_sync(row) for row in rows[:limit]]
    return {"items": items, "next": str(items[-1]["id"]) if len(rows) > limit else None}


def with_sync(row: Row) -> Listed:
    """A row of `among` as readers see it."""
    return {
        "id": row["id"],
        "full_name": row["full_name"],
        "phone": row["phone"],
        "stage": row["stage"],
        "sync": {
            "status": row["sync_status"],
            "reason": row["sync_reason"],
            "attempts": row["sync_attempts"],
            "bitrix_lead_id": row["bitrix_lead_id"],
            "version": row["version"],
        },
    }

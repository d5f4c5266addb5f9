"""Read users with the sync status of their last write."""

from typing import cast

from leadline.errors import UserNotFound
from leadline.runtime.postgres.pool import Row, database
from leadline.users import filters
from leadline.users.model import UserId
from leadline.users.views import Page, Query, SyncHistory, UserDetails, UserSummary

_GET = f"""
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


def get(user_id: UserId) -> UserDetails:
    """The user with its `sync` block and its last ten events, as far as the ledger keeps them.

    `retry_at` is present only if a failed write will be retried automatically.

    Raises:
        UserNotFound: no user has this id.
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_GET, id=user_id)
    if not rows:
        raise UserNotFound
    user = with_sync(rows[0])
    history = cast("SyncHistory", {**user["sync"], "events": rows[0]["events"]})
    if rows[0]["retry_at"] is not None:
        history["retry_at"] = rows[0]["retry_at"]
    return {**user, "sync": history}


def page(query: Query) -> Page:
    """A keyset page of users with an id above `after`; `next` is the key of the next page.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = filters.select(query.limit + 1, query.after, filters.from_query(query))
    return to_page(rows, query.limit)


def to_page(rows: list[Row], limit: int) -> Page:
    """A page from rows of `filters`; `limit` + 1 rows mean that there is a next page."""
    items = [with_sync(row) for row in rows[:limit]]
    return {"items": items, "next": str(items[-1]["id"]) if len(rows) > limit else None}


def with_sync(row: Row) -> UserSummary:
    """A row of `filters.COLUMNS` as readers see it."""
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

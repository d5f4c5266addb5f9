"""Read users with the sync status of their last write."""

from collections.abc import Sequence
from typing import cast

from leadline.errors import UserErased, UserNotFound
from leadline.runtime.concurrency.coalescing import Coalescer
from leadline.runtime.postgres.pool import Row, array_literal, database
from leadline.users import filters
from leadline.users.filters import UserRow
from leadline.users.further_fields import in_response
from leadline.users.model import UserId
from leadline.users.views import Page, Query, SyncHistory, UserDetails, UserSummary

_SELECT = f"""
SELECT {filters.COLUMNS}, erased_at IS NOT NULL AS is_erased, (
    SELECT due_at FROM events
    WHERE user_id = users.id AND version = users.version AND state = 'failed'
) AS retry_at, (
    SELECT COALESCE(json_agg(last ORDER BY last.version DESC), CAST('[]' AS json)) FROM (
        SELECT id AS event_id, version, action, state, reason, attempts, occurred_at,
               published_at, settled_at
        FROM events WHERE user_id = users.id ORDER BY version DESC LIMIT 10
    ) AS last
) AS events
FROM users
"""  # noqa: S608 - of constants; values are parameters
_ONE = f"{_SELECT} WHERE id = :id"
#: Not used for a single user: Postgres plans a query with a list at each execution, which costs as
#: much as reading the user.
_SEVERAL = f"{_SELECT} WHERE id = ANY(CAST(:ids AS bigint[]))"
#: Maximum number of reads in one query.
MAX_GROUP = 64


def get(user_id: UserId) -> UserDetails:
    """The user with its `sync` block and its last ten events, as far as the ledger keeps them.

    `retry_at` is present only if a failed write will be retried automatically.

    Raises:
        UserNotFound: no user has this id.
        UserErased: the user was erased.
        DatabaseDown: Postgres can't be reached.
    """
    row = _reads.submit(user_id)
    if row is None:
        raise UserNotFound
    if row["is_erased"]:
        raise UserErased
    user = summary_of(UserRow._make(row[name] for name in UserRow._fields))
    sync = cast("SyncHistory", {**user["sync"], "events": row["events"]})
    if row["retry_at"] is not None:
        sync["retry_at"] = row["retry_at"]
    return {**user, "sync": sync}


def _by_id(user_ids: Sequence[UserId]) -> list[Row | None]:
    """The rows of these users, in order; None for an unknown id."""
    unique = set(user_ids)
    if len(unique) == 1:
        rows = database().run(_ONE, id=user_ids[0])
    else:
        rows = database().run(_SEVERAL, ids=array_literal(unique))
    by_id = {row["id"]: row for row in rows}
    return [by_id.get(user_id) for user_id in user_ids]


#: Reads that arrive while one is in flight share the next query.
_reads = Coalescer(_by_id, max_group=MAX_GROUP)


def page(query: Query) -> Page:
    """A keyset page of users with an id above `after`; `next` is the key of the next page.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = filters.select(query.limit + 1, query.after, filters.from_query(query))
    return to_page(rows, query.limit)


def to_page(rows: list[UserRow], limit: int) -> Page:
    """A page from rows of `filters`; `limit` + 1 rows mean that there is a next page."""
    items = [summary_of(row) for row in rows[:limit]]
    return {"items": items, "next": str(items[-1]["id"]) if len(rows) > limit else None}


def summary_of(row: UserRow) -> UserSummary:
    """The user of this row, as responses show it."""
    user: UserSummary = {
        "id": row.id,
        "full_name": row.full_name,
        "phone": row.phone,
        "stage": row.stage,
        "external_id": row.external_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "sync": {
            "status": row.sync_status,
            "reason": row.sync_reason,
            "attempts": row.sync_attempts,
            "bitrix_lead_id": row.bitrix_lead_id,
            "version": row.version,
        },
    }
    if row.open_fields:
        user["sync"]["open_fields"] = row.open_fields.split(",")
    further = in_response(row.fields)
    # Further fields come from the map, so no static type has them.
    return cast("UserSummary", {**user, **further}) if further else user

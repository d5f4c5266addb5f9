"""Users whose last write failed: by the time of the failure and its reason, or grouped by reason.

Reads `unsynced_users`, so the cost grows with the number of failed users, not with all users.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leadline.errors import InvalidRequest
from leadline.runtime.postgres.pool import Row, database
from leadline.users import filters, queries
from leadline.users.failures import REASON, REASON_ID
from leadline.users.filters import Filter
from leadline.users.views import Query

#: Maximum number of groups that a text in their reason may select.
MAX_REASONS = 1000

_CONTAINS = f"strpos(lower({REASON}), lower(CAST(:reason AS text))) > 0"
_FROM = """
FROM unsynced_users JOIN users ON users.id = unsynced_users.user_id
LEFT JOIN events ON events.user_id = users.id AND events.version = users.version
"""
_FAILED = "unsynced_users.status = 'failed' AND users.sync_status = 'failed' AND users.id > :after"

_COMMON = ", ".join(
    f"CASE WHEN count(DISTINCT {column}) = 1 AND count({column}) = count(*)"
    f" THEN min({column}) END AS {name}"
    for name, column in (
        ("action", "events.action"),
        ("stage", "users.stage"),
        ("caller", "events.caller"),
    )
)
_GROUPS = f"""
SELECT min(sync_reason) AS reason, count(*) AS users, min(settled_at) AS first_at,
       max(settled_at) AS last_at, count(due_at) AS retrying, min(users.id) AS "user", {_COMMON}
{_FROM} WHERE {_FAILED} {{where}}
GROUP BY {REASON} ORDER BY users DESC, reason LIMIT :limit
"""
_COUNT = f"SELECT count(*) AS users {_FROM} WHERE {_FAILED} {{where}}"
_IDS = f"SELECT users.id {_FROM} WHERE {_FAILED} {{where}} ORDER BY users.id LIMIT :limit"
_REASON_IDS = f"""
SELECT DISTINCT {REASON_ID} AS reason_id {_FROM} WHERE {_FAILED} {{where}} ORDER BY 1 LIMIT :limit
"""
_SETTLED_AT = """
(SELECT settled_at FROM events WHERE user_id = users.id AND version = users.version)
"""
_TIMES = """
SELECT events.user_id AS id, settled_at AS failed_at, due_at AS retry_at
FROM events JOIN users ON users.id = events.user_id AND users.version = events.version
WHERE users.id = ANY (CAST(:ids AS bigint[])) AND state = 'failed'
"""


@dataclass(frozen=True, slots=True)
class FailedFilter:
    """Selects failed users; by default all."""

    #: Only those that failed at this moment or later.
    since: datetime | None = None
    #: Only those whose reason contains this; numbers and case don't matter.
    reason: str = ""
    #: Only these groups (`users.failures`).
    reason_ids: tuple[str, ...] = ()

    def filters(self, settled_at: str) -> list[Filter]:
        """The restrictions as filters; `settled_at` is the SQL of the time of the failure."""
        restrictions = []
        if self.since:
            since = f"{settled_at} >= CAST(:since AS timestamptz)"
            restrictions.append(Filter(since, {"since": self.since.isoformat()}))
        if self.reason:
            restrictions.append(Filter(_CONTAINS, {"reason": re.sub("[0-9]+", "#", self.reason)}))
        if self.reason_ids:
            of_groups = f"{REASON_ID} = ANY (CAST(:reason_ids AS text[]))"
            restrictions.append(Filter(of_groups, {"reason_ids": list(self.reason_ids)}))
        return restrictions


def page(selection: FailedFilter, limit: int, after: int) -> dict[str, Any]:
    """A keyset page as `queries.page`; each `sync` block also with `failed_at` and `retry_at`.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    failed = filters.from_query(Query(sync="failed"))
    rows = filters.select(limit + 1, after, [*failed, *selection.filters(_SETTLED_AT)])
    users_page: dict[str, Any] = {**queries.to_page(rows, limit)}
    times = _times([user["id"] for user in users_page["items"]])
    for user in users_page["items"]:
        user["sync"] = {**user["sync"], **times.get(user["id"], _UNKNOWN)}
    return users_page


def groups(selection: FailedFilter, limit: int) -> list[dict[str, Any]]:
    """Reasons by number of users, the most frequent first.

    Texts that differ only in numbers are one reason, shown by one of them. `first_at` and
    `last_at`: the first and last failure that the ledger still has; `retrying`: how many are
    retried automatically; `common`: action, stage and caller if all have the same; `user`: one of
    the users.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    rows = _run(_GROUPS, selection, limit=limit)
    for group in rows:
        common = {name: group.pop(name) for name in ("action", "stage", "caller")}
        group["common"] = {name: value for name, value in common.items() if value is not None}
    return rows


def count(selection: FailedFilter) -> int:
    """The number of selected users.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return int(_run(_COUNT, selection)[0]["users"])


def ids(selection: FailedFilter, limit: int, after: int) -> list[int]:
    """The next selected ids above `after`, ascending.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    return [int(row["id"]) for row in _run(_IDS, selection, limit=limit, after=after)]


def without_text(selection: FailedFilter) -> FailedFilter:
    """The same selection by the ids of its groups, without the text, which may quote a person.

    Groups that appear later are not selected.

    Raises:
        DatabaseDown: Postgres can't be reached.
        InvalidRequest: the text is contained in more than `MAX_REASONS` reasons.
    """
    if not selection.reason:
        return selection
    rows = _run(_REASON_IDS, selection, limit=MAX_REASONS + 1)
    if len(rows) > MAX_REASONS:
        raise InvalidRequest(f"more than {MAX_REASONS} reasons contain this text: use a longer one")
    # "-" is no group's id: without any group, all users would be selected.
    return FailedFilter(
        selection.since, reason_ids=tuple(row["reason_id"] for row in rows) or ("-",)
    )


_UNKNOWN = {"failed_at": None, "retry_at": None}


def _times(user_ids: list[int]) -> dict[int, dict[str, Any]]:
    return {row.pop("id"): row for row in database().run(_TIMES, ids=user_ids)}


def _run(sql: str, selection: FailedFilter, after: int = 0, **params: object) -> list[Row]:
    filters_ = selection.filters("settled_at")
    conditions = "".join(f" AND {restriction.condition}" for restriction in filters_)
    values = {name: value for restriction in filters_ for name, value in restriction.params.items()}
    return database().run(sql.format(where=conditions), after=after, **values, **params)

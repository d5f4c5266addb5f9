"""Filter users in id order: find candidates in side tables, then check each against `users`.

Writes change no indexed column of `users`, so updates stay heap-only (migration 0007). Names and
stages are indexed in `user_terms`, waiting and failed users in `unsynced_users`. Terms are updated
asynchronously; users written since are listed in `users_to_index` and are candidates for any term.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leadline.runtime.postgres import json_rows
from leadline.runtime.postgres.pool import Row, database
from leadline.users.views import Query

COLUMNS = """
id, full_name, phone, stage, version, bitrix_lead_id, sync_status, sync_reason, sync_attempts
"""
#: Each further page of candidates is this many times larger.
GROWTH_FACTOR = 16

NOT_INDEXED_YET = "SELECT user_id FROM users_to_index"
_AT_STAGE = "SELECT user_id FROM user_terms WHERE kind = 'stage' AND term = :stage"
_UNSYNCED = "SELECT user_id FROM unsynced_users WHERE status = :status"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on users, with its parameters."""

    condition: str
    params: dict[str, Any]
    #: Queries of `user_id` whose union contains every match; empty means scan all users.
    candidates: tuple[str, ...] = ()


def from_query(query: Query) -> list[Filter]:
    """The filters of a query, the most selective first."""
    where = []
    if query.sync is not None:
        # Most users are synced: candidates would not narrow the search.
        candidates = () if query.sync == "synced" else (_UNSYNCED,)
        where.append(Filter("sync_status = :status", {"status": query.sync}, candidates))
    if query.stage is not None:
        where.append(Filter("stage = :stage", {"stage": query.stage}, (_AT_STAGE, NOT_INDEXED_YET)))
    return where


def select(limit: int, after: int, where: Sequence[Filter]) -> list[Row]:
    """The first `limit` users with an id above `after` that match all filters, as rows of COLUMNS.

    Candidates come from the first filter that has any.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    candidates = next((filter_.candidates for filter_ in where if filter_.candidates), None)
    if candidates is None:
        return scan_by_id(limit, after, where)
    rows: list[Row] = []
    size = limit
    while len(rows) < limit:
        ids = _candidate_ids(candidates, _params(where), after, size)
        in_page = Filter("id = ANY (CAST(:ids AS bigint[]))", {"ids": ids})
        rows += scan_by_id(limit - len(rows), after, [in_page, *where])
        if len(ids) < size:
            break
        after, size = ids[-1], size * GROWTH_FACTOR
    return rows


def scan_by_id(limit: int, after: int, where: Sequence[Filter]) -> list[Row]:
    """As `select`, but scans users in id order and ignores candidates."""
    condition = " AND ".join(["id > :after", *(filter_.condition for filter_ in where)])
    sql = f"SELECT {COLUMNS} FROM users WHERE {condition} ORDER BY id LIMIT :limit"  # noqa: S608 - of constants; values are parameters
    params = {**_params(where), "after": after, "limit": limit}
    return json_rows.parse(database().run(json_rows.as_json(sql), **params))


def _params(where: Sequence[Filter]) -> dict[str, Any]:
    return {name: value for filter_ in where for name, value in filter_.params.items()}


def _candidate_ids(
    candidates: Sequence[str], params: dict[str, Any], after: int, size: int
) -> list[int]:
    # A LIMIT in each branch lets it stop early: sorting the whole union may take seconds.
    branches = [
        f"(SELECT * FROM ({query}) AS branch WHERE user_id > :after ORDER BY user_id LIMIT :size)"  # noqa: S608 - of constants; values are parameters
        for query in candidates
    ]
    union = " UNION ALL ".join(branches)
    sql = f"SELECT user_id FROM ({union}) AS candidate ORDER BY user_id LIMIT :size"  # noqa: S608 - of constants; values are parameters
    rows = database().run(sql, **{**params, "after": after, "size": size})
    return [row["user_id"] for row in rows]

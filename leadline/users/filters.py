"""The users that meet conditions, by id: candidates first, then a look at each of them.

No column of `users` that writes change is indexed, so that a write stays on its page (migration
0007). Names and stages are in `user_terms`, users that wait or have failed in `unsynced_users`.
Terms are brought up to date a little later; who was written meanwhile is in `users_to_index`, and a
candidate whatever is looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leadline.runtime.postgres.pool import Row, database
from leadline.users.views import Query

COLUMNS = """
id, full_name, phone, stage, version, bitrix_lead_id, sync_status, sync_reason, sync_attempts
"""
#: As long as these candidates were not enough, so many times as many are looked at.
TIMES = 16

WRITTEN_SINCE = "SELECT user_id FROM users_to_index"
_AT_STAGE = "SELECT user_id FROM user_terms WHERE kind = 'stage' AND term = :stage"
_UNSYNCED = "SELECT user_id FROM unsynced_users WHERE status = :status"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition on users, with its parameters."""

    condition: str
    params: dict[str, Any]
    #: Queries of `user_id`s, among which are all who meet it; without any, everybody may.
    candidates: tuple[str, ...] = ()


def of(query: Query) -> list[Wanted]:
    """What a reader asks for, the fewest candidates first."""
    found = []
    if query.sync is not None:
        # Most users are synced: these are no fewer candidates than everybody.
        few = () if query.sync == "synced" else (_UNSYNCED,)
        found.append(Wanted("sync_status = :status", {"status": query.sync}, few))
    if query.stage is not None:
        found.append(Wanted("stage = :stage", {"stage": query.stage}, (_AT_STAGE, WRITTEN_SINCE)))
    return found


def first(limit: int, after: int, wanted: Sequence[Wanted]) -> list[Row]:
    """The first of those who meet all conditions, with an id greater than `after`: their COLUMNS.

    Candidates are those of the first condition that has any.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    candidates = next((one.candidates for one in wanted if one.candidates), None)
    if candidates is None:
        return through(limit, after, wanted)
    rows: list[Row] = []
    size = limit
    while len(rows) < limit:
        ids = _ids(candidates, _params(wanted), after, size)
        among = Wanted("id = ANY (CAST(:ids AS bigint[]))", {"ids": ids})
        rows += through(limit - len(rows), after, [among, *wanted])
        if len(ids) < size:
            break
        after, size = ids[-1], size * TIMES
    return rows


def through(limit: int, after: int, wanted: Sequence[Wanted]) -> list[Row]:
    """The same by going through the ids, whatever the candidates; raises the same."""
    condition = " AND ".join(["id > :after", *(one.condition for one in wanted)])
    sql = f"SELECT {COLUMNS} FROM users WHERE {condition} ORDER BY id LIMIT :limit"  # noqa: S608 - of constants; values are parameters
    return database().run(sql, **{**_params(wanted), "after": after, "limit": limit})


def _params(wanted: Sequence[Wanted]) -> dict[str, Any]:
    return {name: value for one in wanted for name, value in one.params.items()}


def _ids(candidates: Sequence[str], params: dict[str, Any], after: int, size: int) -> list[int]:
    # Each for itself, so that each may end early: to append them and sort all may take seconds.
    each = [
        f"(SELECT * FROM ({one}) AS one WHERE user_id > :after ORDER BY user_id LIMIT :size)"  # noqa: S608 - of constants; values are parameters
        for one in candidates
    ]
    union = " UNION ALL ".join(each)
    sql = f"SELECT user_id FROM ({union}) AS candidate ORDER BY user_id LIMIT :size"  # noqa: S608 - of constants; values are parameters
    found = database().run(sql, **{**params, "after": after, "size": size})
    return [row["user_id"] for row in found]

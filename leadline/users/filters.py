"""Filter users in id order: find candidates by an index, then check each against `users`.

Writes change no indexed column of `users`, so updates stay heap-only (migration 0007). Names and
stages are indexed in `user_terms`, waiting and failed users in `unsynced_users`; a user changed
recently has an event. Terms are updated asynchronously; users written since are listed in
`users_to_index` and are candidates for any term.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from leadline.mapping.targets import Value
from leadline.runtime import uuid7
from leadline.runtime.postgres import json_rows
from leadline.runtime.postgres.pool import database
from leadline.settings import settings
from leadline.users.model import MAX_ID, LeadId, UserId
from leadline.users.views import Query, SyncStatus


def _timestamp(column: str) -> str:
    """SQL of a column as RFC 3339."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {column}"""


class UserRow(NamedTuple):
    """A row of COLUMNS. A page has fifty: building them as dictionaries took six times as long."""

    id: UserId
    full_name: str
    phone: str
    stage: str
    fields: dict[str, Value] | None
    external_id: str | None
    created_at: str
    updated_at: str
    version: int
    bitrix_lead_id: LeadId | None
    #: Names of open fields, separated by commas.
    open_fields: str | None
    sync_status: SyncStatus
    sync_reason: str | None
    sync_attempts: int


COLUMNS = ", ".join(_timestamp(name) if name.endswith("_at") else name for name in UserRow._fields)
#: Each further page of candidates is this many times larger.
GROWTH_FACTOR = 16
#: A filter with this many candidates or more is common: they would not narrow the search.
COMMON = 2000
#: For common filters, scanning this many ids usually fills a page.
SCAN_IDS = 20_000
#: Sorts after every other character.
_LAST = chr(0x10FFFF)
#: By how much the clocks of functions and Postgres may differ.
_CLOCK_SKEW_S = 3600

NOT_INDEXED_YET = "SELECT user_id FROM users_to_index"
_AT_STAGE = "SELECT user_id FROM user_terms WHERE kind = 'stage' AND term = :stage"
_UNSYNCED = "SELECT user_id FROM unsynced_users WHERE status = :status"
# `+ 0` keeps the planner from walking users or events by id until enough of them match.
_EQUAL = "SELECT id + 0 AS user_id FROM users WHERE {}"
_WRITTEN = (
    "SELECT DISTINCT user_id + 0 AS user_id FROM events WHERE id >= CAST(:from_event AS uuid)"
)
# Letters that Unicode does not decompose: l, d, o and h with stroke, dotless i, final
# sigma. Then combining marks, which have no counterpart.
_LETTERS = "\u0142\u0111\u00f8\u0127\u0131\u03c2"
_PLAIN_LETTERS = "ldohi\u03c3"
_MARKS = (
    "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u0309\u030a\u030b\u030c"
    "\u031b\u0323\u0326\u0327\u0328\u0331\u0342\u0345"
)


def plain_sql(expression: str) -> str:
    """SQL of a text as searches compare it: in lower case, without accents; й stays.

    `user_terms` holds each term in this form (migration 0020).
    """
    # \u0439 is a letter of its own, not an accented \u0438.
    decomposed = f"replace(normalize(lower({expression}), NFD), '\u0438\u0306', '\u0439')"
    letters = f"translate({decomposed}, '{_LETTERS}{_MARKS}', '{_PLAIN_LETTERS}')"
    return f"replace({letters}, '\u00df', 'ss')"


_NAME_MIN = plain_sql("CAST(:name AS text)")
_NAME_END = f"({_NAME_MIN} || CAST(:last AS text))"
# The operators of text_pattern_ops compare by character, like collation "C".
_NAME_CONDITION = (
    f"{plain_sql('full_name')} ~>=~ {_NAME_MIN} AND {plain_sql('full_name')} ~<~ {_NAME_END}"
)
_NAME_TERMS = f"""
SELECT user_id FROM user_terms
WHERE kind = 'name' AND term >= {_NAME_MIN} AND term < {_NAME_END}
"""  # noqa: S608 - of constants; values are parameters


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on users, with its parameters."""

    condition: str
    params: dict[str, Any]
    #: Queries of `user_id` whose union contains every match; empty means scan all users.
    candidates: tuple[str, ...] = ()
    #: There may be many candidates, and the index does not return them by id.
    may_be_common: bool = False
    #: The condition reads more than the user's row.
    is_costly: bool = False


def from_query(query: Query) -> list[Filter]:
    """The filters of a query, the most selective first."""
    return [*_by_value(query), *_by_state(query)]


def _by_value(query: Query) -> Iterator[Filter]:
    """Filters that few users match."""
    if query.external_id is not None:
        by_id = "external_id = :external_id"
        yield Filter(by_id, {"external_id": query.external_id}, (_EQUAL.format(by_id),))
    if query.bitrix_lead_id is not None:
        by_lead = "bitrix_lead_id = :lead_id"
        yield Filter(by_lead, {"lead_id": query.bitrix_lead_id}, (_EQUAL.format(by_lead),))
    if query.phone is not None:
        by_phone = "phone = ANY (CAST(:phones AS text[]))"
        yield Filter(by_phone, {"phones": list(query.phone)}, (_EQUAL.format(by_phone),))


def _by_state(query: Query) -> Iterator[Filter]:
    """Filters that many users may match."""
    if query.sync is not None:
        # Most users are synced: candidates would not narrow the search.
        candidates = () if query.sync == "synced" else (_UNSYNCED,)
        yield Filter("sync_status = :status", {"status": query.sync}, candidates)
    if query.updated_since is not None:
        yield _updated(query.updated_since)
    if query.name is not None:
        params = {"name": query.name, "last": _LAST}
        yield Filter(_NAME_CONDITION, params, (_NAME_TERMS, NOT_INDEXED_YET), may_be_common=True)
    if query.stage is not None:
        yield Filter("stage = :stage", {"stage": query.stage}, (_AT_STAGE, NOT_INDEXED_YET))


def _updated(since: datetime) -> Filter:
    """The users written since then: each has an event, for as long as the ledger keeps it."""
    since_s = since.timestamp() - _CLOCK_SKEW_S
    has_events = since_s > time.time() - settings().keep_events_s
    return Filter(
        "updated_at >= CAST(:since AS timestamptz)",
        {"since": since.isoformat(), "from_event": str(uuid7.first_at(since_s))},
        (_WRITTEN,) if has_events else (),
        may_be_common=True,
    )


def select(limit: int, after: int, where: Sequence[Filter]) -> list[UserRow]:
    """The first `limit` users with an id above `after` that match all filters, by id.

    Candidates come from the first filter that is not common. If all filters are common, the next
    `SCAN_IDS` ids are scanned; if these don't fill the page, the first filter gives the candidates.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    narrowing = [filter_ for filter_ in where if filter_.candidates]
    if not narrowing:
        return scan_by_id(limit, after, where)
    chosen = next((filter_ for filter_ in narrowing if not _is_common(filter_)), None)
    if chosen is None:
        nearby = Filter("id <= :last_near", {"last_near": min(after + SCAN_IDS, MAX_ID)})
        rows = scan_by_id(limit, after, [nearby, *where])
        if len(rows) == limit:
            return rows
        chosen = narrowing[0]
    return _select_among(chosen.candidates, limit, after, where)


def _is_common(filter_: Filter) -> bool:
    if not filter_.may_be_common:
        return False
    union = " UNION ALL ".join(f"({candidate})" for candidate in filter_.candidates)
    sample = f"SELECT 1 FROM ({union}) AS candidate LIMIT :at_most"  # noqa: S608 - of constants; values are parameters
    sql = f"SELECT count(*) AS found FROM ({sample}) AS sample"  # noqa: S608 - of constants; values are parameters
    return bool(database().run(sql, at_most=COMMON, **filter_.params)[0]["found"] == COMMON)


def _select_among(
    candidates: Sequence[str], limit: int, after: int, where: Sequence[Filter]
) -> list[UserRow]:
    rows: list[UserRow] = []
    size = limit
    while len(rows) < limit:
        ids = _candidate_ids(candidates, params_of(where), after, size)
        in_page = Filter("id = ANY (CAST(:ids AS bigint[]))", {"ids": ids})
        rows += scan_by_id(limit - len(rows), after, [in_page, *where])
        if len(ids) < size:
            break
        after, size = ids[-1], size * GROWTH_FACTOR
    return rows


def scan_by_id(limit: int, after: int, where: Sequence[Filter]) -> list[UserRow]:
    """As `select`, but scans users in id order and ignores candidates; leaves out erased users."""
    page = condition_of("id > :after", where) + " ORDER BY id"
    if where:
        return read(f"users WHERE {page}", limit, after=after, **params_of(where))
    # Postgres reuses the plan of a query whose LIMIT is a constant; planning it for each `limit`
    # would take half of the time. So the constant is the next power of two.
    bound = 1 << limit.bit_length()
    return read(
        f"(SELECT * FROM users WHERE {page} LIMIT {bound}) AS users",  # noqa: S608 - of constants and a number; values are parameters
        limit,
        after=after,
    )


def condition_of(keyset: str, where: Sequence[Filter]) -> str:
    """SQL of the condition for a page: its keyset condition, all filters, and no erased users."""
    return " AND ".join([keyset, "erased_at IS NULL", *(filter_.condition for filter_ in where)])


def read(source: str, limit: int, **params: object) -> list[UserRow]:
    """The first `limit` users of this source, in its order.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    sql = json_rows.as_columns(
        UserRow._fields,
        f"SELECT {COLUMNS} FROM {source} LIMIT :limit",  # noqa: S608 - of constants; values are parameters
    )
    rows = json_rows.parse_columns(database().run(sql, limit=limit, **params))
    return [*map(UserRow._make, rows)]


def params_of(where: Sequence[Filter]) -> dict[str, Any]:
    """The parameters of all these conditions."""
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

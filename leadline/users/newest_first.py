"""Selects users newest first, by filters; for searches.

`filters.select` is for callers that read all pages: its candidates come from a single index, so
that each page costs the same. A search reads few pages, and its first page must come quickly even
if every filter is common: its candidates may be the intersection of those of all filters.
"""

from collections.abc import Sequence

from leadline.runtime.postgres.pool import database
from leadline.users.filters import (
    COMMON,
    GROWTH_FACTOR,
    SCAN_IDS,
    Filter,
    UserRow,
    condition_of,
    params_of,
    read,
)

#: A costly filter scans this many ids for each user of a page.
_COSTLY_SCAN_FACTOR = 20
# The newest id below `before` is looked up first: ids may have gaps.
_NEARBY = "id > (SELECT max(id) FROM users WHERE id < :before) - CAST(:scan_ids AS bigint)"


def select(limit: int, before: int, where: Sequence[Filter]) -> list[UserRow]:
    """The newest `limit` users with an id below `before` that match all filters.

    Candidates come from the first filter that is not common. If all filters are common, the newest
    ids are scanned; if these don't fill the page, candidates are the intersection of the filters'.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    narrowing = [filter_ for filter_ in where if filter_.candidates]
    if not narrowing:
        return _scan(limit, before, where)
    chosen = next((filter_ for filter_ in narrowing if not _is_common(filter_)), None)
    if chosen is not None:
        return _select_among([chosen.candidates], limit, before, where, size=limit)
    is_costly = any(filter_.is_costly for filter_ in where)
    nearby = Filter(_NEARBY, {"scan_ids": limit * _COSTLY_SCAN_FACTOR if is_costly else SCAN_IDS})
    rows = _scan(limit, before, [nearby, *where])
    if len(rows) == limit:
        return rows
    # The costly filter's query runs once; the others are looked up for each of its candidates.
    narrowing.sort(key=lambda filter_: not filter_.is_costly)
    return _select_among(
        [filter_.candidates for filter_ in narrowing], limit, before, where, size=COMMON
    )


def _is_common(filter_: Filter) -> bool:
    branches = [
        f"(SELECT * FROM ({query}) AS branch LIMIT :at_most)"  # noqa: S608 - of constants; values are parameters
        for query in filter_.candidates
    ]
    union = " UNION ALL ".join(branches)
    sql = f"SELECT count(*) AS found FROM ({union}) AS candidate"  # noqa: S608 - of constants; values are parameters
    return int(database().run(sql, at_most=COMMON, **filter_.params)[0]["found"]) >= COMMON


def _select_among(
    narrowing: Sequence[Sequence[str]],
    limit: int,
    before: int,
    where: Sequence[Filter],
    *,
    size: int,
) -> list[UserRow]:
    """As `select`, from the candidates that all filters share, in growing pages."""
    rows: list[UserRow] = []
    while len(rows) < limit:
        ids = _ids(narrowing, where, before, size)
        in_page = Filter("id = ANY (CAST(:ids AS bigint[]))", {"ids": sorted({*ids})})
        rows += _scan(limit - len(rows), before, [in_page, *where])
        if len(ids) < size:
            break
        before, size = ids[-1], size * GROWTH_FACTOR
    return rows


def _ids(
    narrowing: Sequence[Sequence[str]], where: Sequence[Filter], before: int, size: int
) -> list[int]:
    """The ids of the next candidates, newest first; an id may occur several times.

    Without DISTINCT, Postgres keeps only the newest `size` of them instead of sorting all.
    """
    first, *others = (" UNION ALL ".join(queries) for queries in narrowing)
    conditions = "".join(f" AND user_id IN ({other})" for other in others)
    sql = f"""
        SELECT user_id FROM ({first}) AS candidate WHERE user_id < :before {conditions}
        ORDER BY user_id DESC LIMIT :size
    """  # noqa: S608 - of constants; values are parameters
    rows = database().run(sql, **{**params_of(where), "before": before, "size": size})
    return [row["user_id"] for row in rows]


def _scan(limit: int, before: int, where: Sequence[Filter]) -> list[UserRow]:
    source = f"users WHERE {condition_of('id < :before', where)} ORDER BY id DESC"
    return read(source, limit, before=before, **params_of(where))

"""Search users by id, phone prefix, lead id or name prefix."""

import re

from pydantic import Field

from leadline.runtime.postgres.pool import database
from leadline.users import filters, queries
from leadline.users.filters import Filter
from leadline.users.views import Page, Query

#: Shorter phone prefixes match too many users.
PHONE_DIGITS = 5
#: A text with this many matches or more is common: candidates would not narrow the search.
COUNT_LIMIT = 2000
#: For a common text, scanning this many ids usually fills a page.
SCAN_IDS = 20_000
MAX_ID = 2**63 - 1
#: Sorts after every other character.
_LAST = chr(0x10FFFF)

_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]*")
_EXACT = "id = :number OR bitrix_lead_id = :number"
# The operators of text_pattern_ops compare by character, like collation "C": they use the prefix
# indexes even in a generic plan, which Postgres makes without knowing the text.
_FROM, _UP_TO = "lower(CAST(:text AS text))", "(lower(CAST(:text AS text)) || CAST(:last AS text))"
_NAMED = f"lower(full_name) ~>=~ {_FROM} AND lower(full_name) ~<~ {_UP_TO}"
_PHONED = f"phone ~>=~ {_FROM} AND phone ~<~ {_UP_TO}"

_NAMES = f"FROM user_terms WHERE kind = 'name' AND term >= {_FROM} AND term < {_UP_TO}"
_PHONES = f"FROM users WHERE {_PHONED}"
_COUNT = "SELECT count(*) AS found FROM (SELECT {} LIMIT :few) AS few"
_COUNT_NAMES = _COUNT.format(f"{_NAMES} ORDER BY term")
_COUNT_PHONES = _COUNT.format(f"{_PHONES} ORDER BY phone USING ~<~")
# `id + 0` keeps the planner from scanning the primary key to its end.
_WITH_PHONE = f"SELECT id + 0 AS user_id {_PHONES}"
_WITH_NUMBER = f"SELECT id + 0 AS user_id FROM users WHERE {_EXACT}"  # noqa: S608 - of constants; values are parameters
_WITH_NAME = f"SELECT user_id {_NAMES}"


class Search(Query):
    """The query of a search; an empty `find` matches all users."""

    find: str = Field("", max_length=100)


def page(search: Search) -> Page:
    """As `queries.page`, for the users that match the search.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    limit, after = search.limit + 1, search.after
    where = filters.from_query(search)
    text = search.find.strip().replace("\x00", "")
    if text:
        matches, is_common = _filter_of(text)
        where = [*where, matches] if is_common else [matches, *where]
        if is_common:
            nearby = Filter("id <= :last_near", {"last_near": min(after + SCAN_IDS, MAX_ID)})
            rows = filters.scan_by_id(limit, after, [nearby, *where])
            if len(rows) == limit:
                return queries.to_page(rows, search.limit)
    return queries.to_page(filters.select(limit, after, where), search.limit)


def _filter_of(text: str) -> tuple[Filter, bool]:
    """The filter of a search text, and whether it matches many users."""
    digits = re.sub(r"[^0-9]", "", text)
    if not _NUMBER.fullmatch(text):
        params = {"text": text, "last": _LAST}
        matches = Filter(_NAMED, params, (_WITH_NAME, filters.NOT_INDEXED_YET))
        return matches, _is_common(_COUNT_NAMES, params)
    number = None if text.startswith("+") or int(digits) > MAX_ID else int(digits)
    if len(digits) < PHONE_DIGITS:
        return Filter(f"({_EXACT})", {"number": number}, (_WITH_NUMBER,)), False
    phone = {"text": f"+{digits}", "last": _LAST}
    matches = Filter(
        f"({_EXACT} OR {_PHONED})", {"number": number, **phone}, (_WITH_NUMBER, _WITH_PHONE)
    )
    return matches, _is_common(_COUNT_PHONES, phone)


def _is_common(sql: str, params: dict[str, str]) -> bool:
    return bool(database().run(sql, few=COUNT_LIMIT, **params)[0]["found"] == COUNT_LIMIT)

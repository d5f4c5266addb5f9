"""Users found by what somebody knows of one: id, phone, lead id, or how the name begins."""

import re

from pydantic import Field

from leadline.runtime.postgres.pool import database
from leadline.users import filters, queries
from leadline.users.filters import Wanted
from leadline.users.views import Page, Query

#: Fewer digits begin too many phones.
PHONE_DIGITS = 5
#: So many are looked at one by one.
FEW = 2000
#: Of more, a page is most often met by going through so many ids.
NEAR = 20_000
MAX_ID = 2**63 - 1
#: Sorts after every other character.
_LAST = chr(0x10FFFF)

_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]*")
_EXACT = "id = :number OR bitrix_lead_id = :number"
# The operators of text_pattern_ops compare character by character, as "C" does: so the indexes for
# prefixes serve, also by a plan that is made before the text is known.
_FROM, _UP_TO = "lower(CAST(:text AS text))", "(lower(CAST(:text AS text)) || CAST(:last AS text))"
_NAMED = f"lower(full_name) ~>=~ {_FROM} AND lower(full_name) ~<~ {_UP_TO}"
_PHONED = f"phone ~>=~ {_FROM} AND phone ~<~ {_UP_TO}"

_NAMES = f"FROM user_terms WHERE kind = 'name' AND term >= {_FROM} AND term < {_UP_TO}"
_PHONES = f"FROM users WHERE {_PHONED}"
_COUNT = "SELECT count(*) AS found FROM (SELECT {} LIMIT :few) AS few"
_COUNT_NAMES = _COUNT.format(f"{_NAMES} ORDER BY term")
_COUNT_PHONES = _COUNT.format(f"{_PHONES} ORDER BY phone USING ~<~")
# The sum keeps the planner from going through the ids to the end.
_WITH_PHONE = f"SELECT id + 0 AS user_id {_PHONES}"
_WITH_NUMBER = f"SELECT id + 0 AS user_id FROM users WHERE {_EXACT}"  # noqa: S608 - of constants; values are parameters
_WITH_NAME = f"SELECT user_id {_NAMES}"


class Search(Query):
    """What is looked for; everybody where `find` is empty."""

    find: str = Field("", max_length=100)


def page(search: Search) -> Page:
    """As `queries.page`, of those users that are meant.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    limit, after = search.limit + 1, search.after
    wanted = filters.of(search)
    text = search.find.strip().replace("\x00", "")
    if text:
        meant, are_many = _meant(text)
        wanted = [*wanted, meant] if are_many else [meant, *wanted]
        if are_many:
            near = Wanted("id <= :last_near", {"last_near": min(after + NEAR, MAX_ID)})
            rows = filters.through(limit, after, [near, *wanted])
            if len(rows) == limit:
                return queries.as_page(rows, search.limit)
    return queries.as_page(filters.first(limit, after, wanted), search.limit)


def _meant(text: str) -> tuple[Wanted, bool]:
    """Whom this text means, and whether they are many."""
    digits = re.sub(r"[^0-9]", "", text)
    if not _NUMBER.fullmatch(text):
        params = {"text": text, "last": _LAST}
        meant = Wanted(_NAMED, params, (_WITH_NAME, filters.WRITTEN_SINCE))
        return meant, _are_many(_COUNT_NAMES, params)
    number = None if text.startswith("+") or int(digits) > MAX_ID else int(digits)
    if len(digits) < PHONE_DIGITS:
        return Wanted(f"({_EXACT})", {"number": number}, (_WITH_NUMBER,)), False
    phone = {"text": f"+{digits}", "last": _LAST}
    meant = Wanted(
        f"({_EXACT} OR {_PHONED})", {"number": number, **phone}, (_WITH_NUMBER, _WITH_PHONE)
    )
    return meant, _are_many(_COUNT_PHONES, phone)


def _are_many(sql: str, params: dict[str, str]) -> bool:
    return bool(database().run(sql, few=FEW, **params)[0]["found"] == FEW)

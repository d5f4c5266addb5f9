"""Users found by what somebody knows of one: id, phone, lead id, or how the name begins."""

import re
from typing import Any

from pydantic import Field

from leadline.runtime.database import database
from leadline.users import read
from leadline.users.shown import Page, Query

#: Fewer digits begin too many phones.
PHONE_DIGITS = 5
MAX_ID = 2**63 - 1
#: Sorts after every other character.
_LAST = chr(0x10FFFF)

_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]*")

# The operators are those of text_pattern_ops: character by character, so that the indexes of the
# prefixes are used, also by a plan that is made before the text is known.
_NAME = """
lower(full_name) ~>=~ lower(CAST(:text AS text))
AND lower(full_name) ~<~ (lower(CAST(:text AS text)) || CAST(:last AS text))
"""
_PHONE = """
SELECT id FROM users
WHERE phone ~>=~ CAST(:phone AS text) AND phone ~<~ (CAST(:phone AS text) || CAST(:last AS text))
"""
_ID = "SELECT id FROM users WHERE id = :number"
_LEAD = "SELECT id FROM users WHERE bitrix_lead_id = :number"


class Search(Query):
    """What is looked for; everybody where `find` is empty."""

    find: str = Field("", max_length=100)


def page(search: Search) -> Page:
    """As `read.page`, of those users that are meant.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    where, params = _meant(search.find.strip().replace("\x00", ""))
    wheres = ["id > :after", where]
    if search.sync is not None:
        wheres.append(f"sync_status = '{search.sync}'")  # one of three words
    sql = f"SELECT {read.COLUMNS} FROM users WHERE {' AND '.join(wheres)} ORDER BY id LIMIT :limit"
    rows = database().run(sql, **params, after=search.after, limit=search.limit + 1)
    return read.as_page(rows, search.limit)


def _meant(text: str) -> tuple[str, dict[str, Any]]:
    if not text:
        return "true", {}
    if not _NUMBER.fullmatch(text):
        return _NAME, {"text": text, "last": _LAST}
    digits = re.sub(r"[^0-9]", "", text)
    found: list[str] = []
    params: dict[str, Any] = {}
    if not text.startswith("+") and int(digits) <= MAX_ID:
        found += [_ID, _LEAD]
        params["number"] = int(digits)
    if len(digits) >= PHONE_DIGITS:
        found.append(_PHONE)
        params |= {"phone": f"+{digits}", "last": _LAST}
    return f"id IN ({' UNION '.join(found)})" if found else "false", params

"""Users found by what somebody knows of one: id, phone, lead id, or how the name begins."""

import re
from typing import Any

from pydantic import Field

from leadline.runtime.database import Row, database
from leadline.users import read
from leadline.users.shown import Page, Query

#: Fewer digits begin too many phones.
PHONE_DIGITS = 5
#: So many are found by their index and then put in the order of ids.
FEW = 2000
#: Of more, a page is most often met by going through so many ids.
NEAR = 20_000
MAX_ID = 2**63 - 1
#: Sorts after every other character.
_LAST = chr(0x10FFFF)

_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]*")
_EXACT = "SELECT id FROM users WHERE id = :number OR bitrix_lead_id = :number"
_AMONG = "id = ANY (CAST(:ids AS bigint[]))"


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
    if search.stage is not None:
        wheres.append("stage = :stage")
        params["stage"] = search.stage
    params |= {"after": search.after, "limit": search.limit + 1}
    found = f"SELECT {read.COLUMNS} FROM users WHERE {' AND '.join(wheres)}"
    if "text" not in params:  # few, or everybody
        return read.as_page(_run(f"{found} ORDER BY id", params), search.limit)
    near = {**params, "last_near": min(search.after + NEAR, MAX_ID)}
    rows = _run(f"{found} AND id <= :last_near ORDER BY id", near)
    if len(rows) <= search.limit:
        # They may all be far: the sum keeps the planner from going through the ids to the end.
        rows = _run(f"{found} ORDER BY id + 0", params)
    return read.as_page(rows, search.limit)


def _run(sql: str, params: dict[str, Any]) -> list[Row]:
    return database().run(f"{sql} LIMIT :limit", **params)


def _meant(text: str) -> tuple[str, dict[str, Any]]:
    """A condition and its parameters."""
    if not text:
        return "true", {}
    if not _NUMBER.fullmatch(text):
        return _beginning("lower(full_name)", text, [])
    digits = re.sub(r"[^0-9]", "", text)
    ids: list[int] = []
    if not text.startswith("+") and int(digits) <= MAX_ID:
        ids = [row["id"] for row in database().run(_EXACT, number=int(digits))]
    if len(digits) < PHONE_DIGITS:
        return _AMONG, {"ids": ids}
    return _beginning("phone", f"+{digits}", ids)


def _beginning(column: str, text: str, ids: list[int]) -> tuple[str, dict[str, Any]]:
    """Those where it begins like this, and these."""
    # The operators of text_pattern_ops compare character by character: so the indexes for prefixes
    # serve, also by a plan that is made before the text is known.
    begins = (
        f"{column} ~>=~ lower(CAST(:text AS text))"
        f" AND {column} ~<~ (lower(CAST(:text AS text)) || CAST(:last AS text))"
    )
    params: dict[str, Any] = {"text": text, "last": _LAST}
    few = f"SELECT id FROM users WHERE {begins} ORDER BY {column} USING ~<~ LIMIT {FEW}"
    found = [row["id"] for row in database().run(few, **params)]
    if len(found) < FEW:
        return _AMONG, {"ids": [*ids, *found]}
    return f"(({begins}) OR {_AMONG})", {**params, "ids": ids}

"""Search users by an id, or by a part of their name or phone, newest first."""

from datetime import datetime

from pydantic import AwareDatetime, Field

from leadline.runtime import uuid7
from leadline.users import failures, filters, newest_first, queries
from leadline.users.filters import Filter, UserRow
from leadline.users.model import MAX_ID
from leadline.users.search_text import Meaning, meaning_of
from leadline.users.views import Page, Query

#: The key before which the first page begins: no user has this id.
_END = MAX_ID
#: A text may name a user exactly by its id, by its lead's id and by its external id.
_EXACT_MAX = 3

_ACTIVE = """EXISTS (
    SELECT FROM events WHERE user_id = users.id
    AND (id >= CAST(:first_event AS uuid) OR settled_at >= CAST(:active_since AS timestamptz))
)"""
# An event accepted since then was also settled since then, or is open and has a due_at.
_OPEN = """
SELECT user_id FROM events
WHERE due_at IS NOT NULL AND state = 'open' AND id >= CAST(:first_event AS uuid)
"""
_SETTLED = "SELECT user_id FROM events WHERE settled_at >= CAST(:active_since AS timestamptz)"


class Search(Query):
    """The query of a search, newest first: `after` is the `next` of the previous page.

    An empty `find` matches all users.
    """

    find: str = Field("", max_length=100)
    #: A group of failed users (`failures.groups`).
    reason_id: str | None = Field(None, pattern=r"^[0-9a-f]{1,16}$")
    #: Only users with a write accepted or settled since.
    active_since: AwareDatetime | None = None


def page(search: Search) -> Page:
    """A page of matching users, newest first; those that `find` names exactly precede them.

    `next` is the `after` of the next page.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if search.reason_id is not None:
        search = search.model_copy(update={"sync": "failed"})
    text = search.find.strip().replace("\x00", "")
    meaning = meaning_of(text) if text else None
    where = _filters(search)
    exact = _exact(meaning, where)
    is_first_page = search.after == 0
    before = _END if is_first_page else search.after
    rows: list[UserRow] = []
    if meaning is None or meaning.part is not None:
        containing = [meaning.part] if meaning and meaning.part else []
        not_exact = Filter(
            "NOT id = ANY (CAST(:exact AS bigint[]))", {"exact": [user.id for user in exact]}
        )
        rows = newest_first.select(search.limit + 1, before, [*containing, *where, not_exact])
    result = queries.to_page(rows, search.limit)
    if is_first_page:
        result["items"][:0] = [queries.summary_of(row) for row in exact]
    return result


def _exact(meaning: Meaning | None, where: list[Filter]) -> list[UserRow]:
    """The users that the text names exactly: by its id, its lead's, its external id."""
    if meaning is None or meaning.exact is None:
        return []
    return newest_first.select(_EXACT_MAX, _END, [meaning.exact, *where])


def _filters(search: Search) -> list[Filter]:
    where = filters.from_query(search)
    if search.reason_id is not None:
        where.append(Filter(f"{failures.REASON_ID} = :reason_id", {"reason_id": search.reason_id}))
    if search.active_since is not None:
        where.append(_active(search.active_since))
    return where


def _active(since: datetime) -> Filter:
    first = uuid7.first_at(since.timestamp())
    params = {"first_event": str(first), "active_since": since.isoformat()}
    return Filter(_ACTIVE, params, (_OPEN, _SETTLED), is_costly=True)

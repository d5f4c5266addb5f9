"""Interprets the text of a search: an id, an external or correlation id, a phone or a name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leadline.mapping.current import field_map
from leadline.runtime.postgres.pool import database
from leadline.users import phones
from leadline.users.filters import NOT_INDEXED_YET, Filter, plain

#: Shorter parts of a phone match too many users; shorter texts can't be found by their trigrams.
PART_MIN = 3
#: Maximum number of words of a name to search for; more are ignored.
MAX_WORDS = 6
#: Number of newest events that are scanned for a correlation id: the relay indexes it only a minute
#: after the write.
NEWEST_EVENTS = 100_000
#: Maximum number of users that a correlation id finds, those of its newest events; a bulk job may
#: have more.
CALL_USERS_MAX = 20_000
_MAX_ID = 2**63 - 1

_NUMBER = re.compile(r"\+?[0-9() ./-]*[0-9][0-9() ./-]*")
_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIXED = re.compile(r"(id|lead|call):\s*(\S+)")

# `id + 0` keeps the planner from walking the primary key until enough users match.
_EXACT = "SELECT id + 0 AS user_id FROM users WHERE {}"
_EXTERNAL = "external_id = :external_id"
_NUMBERED = f"id = :number OR bitrix_lead_id = :number OR {_EXTERNAL}"
_TERMS = "SELECT user_id FROM user_terms WHERE kind = '{}' AND term LIKE {}"
_IN_FIELD = f"EXISTS (SELECT FROM jsonb_each_text(fields) WHERE {plain('value')} LIKE {{}})"
# Ranges of the index; `:` follows the digits. `OFFSET 0` keeps the planner from another order.
_DIALLED = """
SELECT user_id FROM unnest(CAST(:dialled AS text[])) AS beginning, LATERAL (
    SELECT user_id FROM user_terms
    WHERE kind = 'phone' AND term >= beginning AND term < beginning || ':' OFFSET 0
) AS dialled
"""
_BY_EVENT = "SELECT user_id FROM events WHERE id = CAST(:event_id AS uuid)"
_BY_CALL = """
(
    SELECT user_id FROM events WHERE id IN (
        SELECT event_id FROM event_correlations
        WHERE correlation = hashtextextended(CAST(:call_id AS text), 0)
        ORDER BY event_id DESC LIMIT :users_max
    ) AND correlation_id = :call_id
) UNION (
    SELECT user_id FROM (
        SELECT user_id, correlation_id FROM events
        WHERE id >= COALESCE((SELECT event_id FROM event_correlations_to),
                             CAST('00000000-0000-0000-0000-000000000000' AS uuid))
        ORDER BY id DESC LIMIT :newest_events
    ) AS newest WHERE correlation_id = :call_id
)
"""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Filters for the users that a text may mean."""

    #: Users that the text names exactly, shown first.
    exact: Filter | None = None
    #: Users with a phone, name or field that contains the text.
    part: Filter | None = None


def meaning_of(text: str) -> Meaning:
    """What the text of a search means; both filters are None if it can match nothing.

    `id:42`, `lead:456` and `call:…` name a user, a lead and a correlation id.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if prefixed := _PREFIXED.fullmatch(text):
        return _PREFIXES[prefixed[1]](prefixed[2])
    if _HEX.fullmatch(text.lower()):
        return _call(text)
    if _NUMBER.fullmatch(text):
        return _number(text)
    by_external_id = Filter(_EXTERNAL, {"external_id": text}, (_EXACT.format(_EXTERNAL),))
    return Meaning(by_external_id, _or_in_field(text, _named(text.split())))


def _or_in_field(text: str, named: Filter | None) -> Filter | None:
    """Users whose name matches, or a further field contains the text."""
    if named is None or len(text) < PART_MIN or field_map() is None:
        return named
    pattern = plain("CAST(:in_field AS text)")
    in_field = _IN_FIELD.format(pattern)
    return Filter(
        f"({named.condition} OR {in_field})",
        {**named.params, "in_field": f"%{_escaped(text)}%"},
        (*named.candidates, _TERMS.format("field", pattern)),
    )


def _number(text: str) -> Meaning:
    digits = re.sub(r"[^0-9]", "", text)
    is_international = text.startswith("+")
    exact = None if is_international else _exact(_NUMBERED, digits)
    if len(digits) < PART_MIN:
        return Meaning(exact)
    like = "CAST(:phone AS text)"
    pattern = f"+{digits}%" if is_international else f"%{digits}%"
    condition = f"phone LIKE {like}"
    params: dict[str, Any] = {"phone": pattern}
    candidates = [_TERMS.format("phone", like), NOT_INDEXED_YET]
    if not is_international and (dialled := phones.dialled(digits)):
        lengths = sorted({len(beginning) for beginning in dialled})
        begins = (f"left(phone, {length}) = ANY (CAST(:dialled AS text[]))" for length in lengths)
        condition = f"({' OR '.join((condition, *begins))})"
        params["dialled"] = list(dialled)
        candidates.append(_DIALLED)
    return Meaning(exact, Filter(condition, params, tuple(candidates)))


def _exact(condition: str, digits: str) -> Filter | None:
    """A filter by the number in these digits; None if they are not a valid id."""
    if not digits.isascii() or not digits.isdigit() or int(digits) > _MAX_ID:
        return None
    return Filter(
        f"({condition})",
        {"number": int(digits), "external_id": digits},
        (_EXACT.format(condition),),
    )


def _call(text: str) -> Meaning:
    """A filter by an event's id, or else by a correlation id."""
    rows = database().run(_BY_EVENT, event_id=text) if _HEX.fullmatch(text.lower()) else []
    if not rows:
        rows = database().run(
            _BY_CALL, call_id=text, newest_events=NEWEST_EVENTS, users_max=CALL_USERS_MAX
        )
    ids = {"user_ids": [row["user_id"] for row in rows]}
    by_id = "id = ANY (CAST(:user_ids AS bigint[]))"
    return Meaning(part=Filter(by_id, ids, (_EXACT.format(by_id),)))


def _named(words: list[str]) -> Filter | None:
    """A filter by words that the name contains; a short one must begin a word of the name."""
    if not words:
        return None
    words = words[:MAX_WORDS]
    params = {f"word{at}": _escaped(word) for at, word in enumerate(words)}
    patterns = [_patterns(at, word) for at, word in enumerate(words)]
    name = plain("full_name")
    condition = " AND ".join(_matches(name, alternatives) for alternatives in patterns)
    # The longest word has the fewest candidates; the term has the other words, too.
    longest = max(range(len(words)), key=lambda at: len(words[at]))
    others = [
        f" AND {_matches('term', alternatives)}"
        for at, alternatives in enumerate(patterns)
        if at != longest
    ]
    names = [_TERMS.format("name", pattern) + "".join(others) for pattern in patterns[longest]]
    return Filter(condition, dict(params), (*names, NOT_INDEXED_YET))


def _matches(text: str, patterns: list[str]) -> str:
    if len(patterns) == 1:  # an index can't be used with ANY
        return f"{text} LIKE {patterns[0]}"
    return f"{text} LIKE ANY (ARRAY[{', '.join(patterns)}])"


def _escaped(text: str) -> str:
    """The text, escaped for a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _patterns(at: int, word: str) -> list[str]:
    """SQL of the patterns for a word, one of which each name with this word matches."""
    text = plain(f"CAST(:word{at} AS text)")
    if len(word) < PART_MIN:
        return [f"{text} || '%'", f"'% ' || {text} || '%'"]
    return [f"'%' || {text} || '%'"]


_PREFIXES: dict[str, Callable[[str], Meaning]] = {
    "id": lambda number: Meaning(_exact("id = :number", number)),
    "lead": lambda number: Meaning(_exact("bitrix_lead_id = :number", number)),
    "call": _call,
}

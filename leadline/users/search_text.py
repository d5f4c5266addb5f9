"""Interprets the text of a search: an id, an external or correlation id, a phone or a name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leadline.mapping.current import field_map
from leadline.runtime.postgres.pool import database
from leadline.users import phones
from leadline.users.filters import NOT_INDEXED_YET, Filter, plain_sql
from leadline.users.model import MAX_ID

#: Shorter parts of a phone match too many users; shorter texts can't be found by their trigrams.
PART_MIN = 3
#: Maximum number of words of a name to search for; more are ignored.
MAX_WORDS = 6
#: Number of newest events that are scanned for a correlation id: the relay indexes it only a minute
#: after the write.
NEWEST_EVENTS = 100_000
#: Maximum number of users that a correlation id finds, those of its newest events; a bulk job may
#: have more.
CORRELATED_USERS_MAX = 20_000

_NUMBER = re.compile(r"\+?[0-9() ./-]*[0-9][0-9() ./-]*")
_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIXED = re.compile(r"(id|lead|call):\s*(\S+)")

# `id + 0` keeps the planner from walking the primary key until enough users match.
_EXACT = "SELECT id + 0 AS user_id FROM users WHERE {}"
_EXTERNAL = "external_id = :external_id"
_NUMBERED = f"id = :number OR bitrix_lead_id = :number OR {_EXTERNAL}"
_TERMS = "SELECT user_id FROM user_terms WHERE kind = '{}' AND term LIKE {}"
_IN_FIELD = f"EXISTS (SELECT FROM jsonb_each_text(fields) WHERE {plain_sql('value')} LIKE {{}})"
# Ranges of the index, since `:` is the character after 9. `OFFSET 0` keeps the planner from
# reordering the join.
_DIALLED = """
SELECT user_id FROM unnest(CAST(:dialled AS text[])) AS beginning, LATERAL (
    SELECT user_id FROM user_terms
    WHERE kind = 'phone' AND term >= beginning AND term < beginning || ':' OFFSET 0
) AS dialled
"""
_BY_EVENT = "SELECT user_id FROM events WHERE id = CAST(:event_id AS uuid)"
_BY_CORRELATION = """
(
    SELECT user_id FROM events WHERE id IN (
        SELECT event_id FROM event_correlations
        WHERE correlation = hashtextextended(CAST(:correlation_id AS text), 0)
        ORDER BY event_id DESC LIMIT :users_max
    ) AND correlation_id = :correlation_id
) UNION (
    SELECT user_id FROM (
        SELECT user_id, correlation_id FROM events
        WHERE id >= COALESCE((SELECT event_id FROM event_correlations_to),
                             CAST('00000000-0000-0000-0000-000000000000' AS uuid))
        ORDER BY id DESC LIMIT :newest_events
    ) AS newest WHERE correlation_id = :correlation_id
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
        return _by_event_or_correlation(text)
    if _NUMBER.fullmatch(text):
        return _by_number(text)
    by_external_id = Filter(_EXTERNAL, {"external_id": text}, (_EXACT.format(_EXTERNAL),))
    return Meaning(by_external_id, _or_in_field(text, _by_name(text.split())))


def _or_in_field(text: str, named: Filter | None) -> Filter | None:
    """Users whose name matches, or a further field contains the text."""
    if named is None or len(text) < PART_MIN or field_map() is None:
        return named
    pattern = plain_sql("CAST(:in_field AS text)")
    in_field = _IN_FIELD.format(pattern)
    return Filter(
        f"({named.condition} OR {in_field})",
        {**named.params, "in_field": f"%{_escaped(text)}%"},
        (*named.candidates, _TERMS.format("field", pattern)),
    )


def _by_number(text: str) -> Meaning:
    """A filter by an id that is this number, and one by a phone with these digits."""
    digits = re.sub(r"[^0-9]", "", text)
    is_international = text.startswith("+")
    exact = None if is_international else _by_id(_NUMBERED, digits)
    if len(digits) < PART_MIN:
        return Meaning(exact)
    pattern = "CAST(:phone AS text)"
    condition = f"phone LIKE {pattern}"
    params: dict[str, Any] = {"phone": f"+{digits}%" if is_international else f"%{digits}%"}
    candidates = [_TERMS.format("phone", pattern), NOT_INDEXED_YET]
    # The number may also be written as it is dialled within a country.
    if not is_international and (dialled := phones.dialled(digits)):
        lengths = sorted({len(beginning) for beginning in dialled})
        begins = (f"left(phone, {length}) = ANY (CAST(:dialled AS text[]))" for length in lengths)
        condition = f"({' OR '.join((condition, *begins))})"
        params["dialled"] = list(dialled)
        candidates.append(_DIALLED)
    return Meaning(exact, Filter(condition, params, tuple(candidates)))


def _by_id(condition: str, digits: str) -> Filter | None:
    """A filter by an id, with this condition; None if the digits are not a valid id."""
    if not digits.isascii() or not digits.isdigit() or int(digits) > MAX_ID:
        return None
    return Filter(
        f"({condition})",
        {"number": int(digits), "external_id": digits},
        (_EXACT.format(condition),),
    )


def _by_event_or_correlation(text: str) -> Meaning:
    """A filter by an event's id, or else by a correlation id."""
    # After `call:` the text may be anything; an event's id is a UUID.
    rows = database().run(_BY_EVENT, event_id=text) if _HEX.fullmatch(text.lower()) else []
    if not rows:
        rows = database().run(
            _BY_CORRELATION,
            correlation_id=text,
            newest_events=NEWEST_EVENTS,
            users_max=CORRELATED_USERS_MAX,
        )
    ids = {"user_ids": [row["user_id"] for row in rows]}
    by_id = "id = ANY (CAST(:user_ids AS bigint[]))"
    return Meaning(part=Filter(by_id, ids, (_EXACT.format(by_id),)))


def _by_name(words: list[str]) -> Filter | None:
    """A filter by words that the name contains; a short one must begin a word of the name."""
    if not words:
        return None
    words = words[:MAX_WORDS]
    params: dict[str, Any] = {f"word{i}": _escaped(word) for i, word in enumerate(words)}
    patterns = [_patterns(f"word{i}", word) for i, word in enumerate(words)]
    name = plain_sql("full_name")
    condition = " AND ".join(_matches(name, alternatives) for alternatives in patterns)
    # A term is a whole name. Candidates are found by the longest word, which the fewest names have;
    # their terms must contain the other words, too.
    longest = max(range(len(words)), key=lambda i: len(words[i]))
    others = [*patterns[:longest], *patterns[longest + 1 :]]
    rest = "".join(f" AND {_matches('term', alternatives)}" for alternatives in others)
    candidates = [_TERMS.format("name", pattern) + rest for pattern in patterns[longest]]
    return Filter(condition, params, (*candidates, NOT_INDEXED_YET))


def _matches(text: str, patterns: list[str]) -> str:
    """SQL of the condition that a text matches one of these patterns."""
    if len(patterns) == 1:  # an index can't be used with ANY
        return f"{text} LIKE {patterns[0]}"
    return f"{text} LIKE ANY (ARRAY[{', '.join(patterns)}])"


def _escaped(text: str) -> str:
    """The text, escaped for a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _patterns(param: str, word: str) -> list[str]:
    """SQL of the patterns for the word in this parameter: a name with it matches one of them."""
    text = plain_sql(f"CAST(:{param} AS text)")
    if len(word) < PART_MIN:
        return [f"{text} || '%'", f"'% ' || {text} || '%'"]
    return [f"'%' || {text} || '%'"]


_PREFIXES: dict[str, Callable[[str], Meaning]] = {
    "id": lambda number: Meaning(_by_id("id = :number", number)),
    "lead": lambda number: Meaning(_by_id("bitrix_lead_id = :number", number)),
    "call": _by_event_or_correlation,
}

"""Discards the dead letters of erased users.

Messages leave main queues and delay queues by themselves; a dead letter stays until it is replayed
or discarded. A message may become a dead letter long after the erasure, so the search is repeated,
at growing intervals, for 30 days.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import structlog

from leadline.connector.dead_letters import DeadLetter, Decision
from leadline.errors import BrokerDown
from leadline.operations import dead_letters
from leadline.operations.dead_letters import ALL, Selection
from leadline.runtime.postgres.pool import database

log = structlog.get_logger()

#: Maximum number of dead letters read of a queue in one search, oldest first; takes some 20 s.
SEARCH_MAX = 20_000

_IS_DUE = "SELECT 1 AS one FROM erasures WHERE sweep_at <= now() LIMIT 1"
_OF_ERASED = """
SELECT CAST(events.id AS text) AS message_id, user_id FROM events
JOIN users ON users.id = user_id AND erased_at IS NOT NULL
WHERE events.id = ANY (CAST(:message_ids AS uuid[]))
UNION ALL
SELECT NULL, id FROM users WHERE erased_at IS NOT NULL AND id = ANY (CAST(:user_ids AS bigint[]))
"""
_COUNT = """
UPDATE erasures SET dead_letters = dead_letters + found.letters
FROM unnest(CAST(:user_ids AS bigint[]), CAST(:letters AS integer[])) AS found (user_id, letters)
WHERE erasures.user_id = found.user_id
"""
_NEXT = """
UPDATE erasures SET sweeps = sweeps + 1, sweep_at = CASE
    WHEN erased_at > now() - interval '30 days'
    THEN now() + LEAST(interval '1 minute' * power(4, LEAST(sweeps, 10)), interval '7 days') END
WHERE sweep_at <= now()
"""


@dataclass(frozen=True, slots=True)
class _LetterIds:
    """The id of a dead letter, and the ids by which its user is recognised."""

    id: str
    message_id: str | None
    user_id: int | None


def discard_if_due() -> int:
    """Search for dead letters of erased users if that is due, and discard them; returns how many.

    If RabbitMQ can't be read, the search stays due.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    if not database().run(_IS_DUE):
        return 0
    try:
        erased = _only_of_erased(dead_letters.collect(ALL, _ids_of, SEARCH_MAX))
        selection = Selection(frozenset(erased))
        number = dead_letters.apply(selection, Decision.DISCARD)[0] if erased else 0
    except BrokerDown as error:
        log.warning("dead letters of erased users not searched", reason=str(error))
        return 0
    users = Counter(erased.values())
    database().run(_COUNT, user_ids=[*users], letters=[*users.values()])
    database().run(_NEXT)
    if number:
        log.info("dead letters of erased users discarded", dead_letters=number)
    return number


def _only_of_erased(letters: list[_LetterIds]) -> dict[str, int]:
    """The dead letters of erased users: the user id by the id of each."""
    rows = database().run(
        _OF_ERASED,
        message_ids=[letter.message_id for letter in letters if letter.message_id],
        user_ids=[letter.user_id for letter in letters if letter.user_id],
    )
    by_message = {row["message_id"]: row["user_id"] for row in rows if row["message_id"]}
    erased = {row["user_id"] for row in rows}
    return {
        letter.id: user_id
        for letter in letters
        if (user_id := by_message.get(letter.message_id, letter.user_id)) is not None
        and user_id in erased
    }


def _ids_of(letter: DeadLetter) -> _LetterIds:
    content = _content(letter.body)
    user = content.get("user")
    user_id = content.get("user_id") or (user.get("id") if isinstance(user, dict) else None)
    is_id = isinstance(user_id, int) and 0 < user_id < 2**63
    # The message of an erasure has no personal data; an operator may want to know why it failed.
    is_erasure = content.get("erased") is True
    message_id = None if is_erasure else _uuid(letter.properties.message_id)
    return _LetterIds(letter.id, message_id, user_id if is_id and not is_erasure else None)


def _content(body: bytes) -> dict[str, Any]:
    """The message without its envelope; {} if it is not JSON."""
    try:
        message = orjson.loads(body)
    except ValueError:
        return {}
    inner = message.get("data", message) if isinstance(message, dict) else None
    return inner if isinstance(inner, dict) else {}


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None

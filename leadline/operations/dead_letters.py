"""Dead letters for operators: select, list, show, replay, discard."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from leadline.connector.dead_letters import DeadLetter, Decision, main_queues, walk
from leadline.errors import InvalidRequest
from leadline.runtime import secrets

if TYPE_CHECKING:
    from datetime import datetime

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of dead letters; empty fields match all."""

    ids: frozenset[str]
    queue: str = ""
    #: Contained in the reason.
    reason: str = ""
    #: The reason as a whole (`DeadLetter.reason_id`).
    reason_id: str = ""

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is selected."""
        is_named = not self.ids or letter.id in self.ids
        is_reason = not self.reason_id or letter.reason_id == self.reason_id
        return is_named and is_reason and self.reason in letter.reason

    def queues(self) -> tuple[str, ...]:
        """The main queues whose dead letters to search.

        Raises:
            InvalidRequest: unknown queue.
        """
        known = main_queues()
        if self.queue and self.queue not in known:
            raise InvalidRequest(f"the queue is one of {', '.join(known)}")
        return (self.queue,) if self.queue else known


#: Selects all dead letters.
ALL = Selection(frozenset())
#: RabbitMQ returns the dead letters that a walk has looked at a moment after its end; until then,
#: and while it goes on, other walks do not see them. A walk that misses some is repeated.
REPEATS, REPEAT_AFTER_S = 6, 0.25


def apply(
    selection: Selection,
    decision: Decision,
    *,
    at_most: int | None = None,
    at_least: int = 0,
) -> tuple[int, list[str]]:
    """Apply a decision to the selected dead letters; returns their number and the ids not found.

    `at_most`: the rest of the selected ones stay. `at_least`: as many are waited for, and those
    that `selection` names, for up to 1.5 s.

    Raises:
        BrokerDown: RabbitMQ can't be reached or did not confirm a replay; earlier ones are done.
    """
    seen: set[str] = set()
    left = at_most

    def decide(letter: DeadLetter) -> Decision:
        nonlocal left
        if not selection.matches(letter):
            return Decision.KEEP
        seen.add(letter.id)
        left = None if left is None else left - 1
        return decision

    def is_enough() -> bool:
        return left is not None and left <= 0

    number = 0
    for _ in _walks():
        number += walk(url(), decide, selection.queues(), is_enough=is_enough)[decision]
        if is_enough() or (number >= at_least and seen >= selection.ids):
            break
    return number, sorted(selection.ids - seen)


def collect(
    selection: Selection, read: Callable[[DeadLetter], Result], limit: int | None = None
) -> list[Result]:
    """The results of `read` for each selected dead letter; the letters themselves are not kept.

    Those that `selection` names are waited for, for up to 1.5 s.
    """
    found: list[Result] = []
    seen: set[str] = set()

    def decide(letter: DeadLetter) -> Decision:
        if selection.matches(letter):
            found.append(read(letter))
            seen.add(letter.id)
        return Decision.KEEP

    for _ in _walks():
        found.clear()
        walk(url(), decide, selection.queues(), limit=limit)
        if seen >= selection.ids:
            break
    return found


def _walks() -> Iterator[None]:
    """One turn for each walk, with a pause before each further one."""
    yield
    for _ in range(REPEATS):
        time.sleep(REPEAT_AFTER_S)
        yield


def summary(letter: DeadLetter) -> dict[str, Any]:
    """The fields of a list entry, without content."""
    return {
        "id": letter.id,
        "queue": letter.queue,
        "reason": letter.reason,
        "reason_id": letter.reason_id,
        "died_at": letter.died_at,
        "attempts": letter.attempts,
        "bytes": len(letter.body),
        "message_id": letter.properties.message_id,
        "correlation_id": letter.properties.correlation_id,
    }


def grouped(letters: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many of these (`summary`) have the same queue and reason, and since when; most first."""
    counts = Counter((letter["queue"], letter["reason_id"], letter["reason"]) for letter in letters)
    times: dict[tuple[str, str], list[datetime]] = {}
    for letter in letters:
        if letter["died_at"] is not None:
            times.setdefault((letter["queue"], letter["reason_id"]), []).append(letter["died_at"])
    return [
        {
            "queue": queue,
            "reason": reason,
            "reason_id": reason_id,
            "letters": number,
            "since": min(times.get((queue, reason_id), []), default=None),
            "latest": max(times.get((queue, reason_id), []), default=None),
        }
        for (queue, reason_id, reason), number in counts.most_common()
    ]


def content(letter: DeadLetter) -> dict[str, Any]:
    """Headers and body; the body as JSON, else as text, else in base64."""
    readers: tuple[tuple[str, Callable[[bytes], Any]], ...] = (
        ("json", _json),
        ("text", bytes.decode),
        ("base64", lambda body: base64.b64encode(body).decode()),
    )
    headers = {name: _to_json(value) for name, value in (letter.properties.headers or {}).items()}
    whole = {"content_type": letter.properties.content_type, "headers": headers}
    for encoding, read in readers:
        try:
            return whole | {"encoding": encoding, "body": read(letter.body)}
        except (ValueError, TypeError):
            continue
    raise AssertionError("base64 takes every body")


def _json(body: bytes) -> Any:
    """The parsed body; fails if it is nested too deeply to be serialised in the response."""
    parsed = orjson.loads(body)
    orjson.dumps([[[[parsed]]]])
    return parsed


def _to_json(value: Any) -> Any:
    """A header value as a JSON value."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {str(name): _to_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_to_json(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # pika has its own integer type
    return value if isinstance(value, float | str | bool | None) else str(value)


def url() -> str:
    """The URL of RabbitMQ."""
    return secrets.require("amqp-url")

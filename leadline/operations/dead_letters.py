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
        """Whether this dead letter of one of `queues` is selected."""
        has_id = not self.ids or letter.id in self.ids
        has_reason = not self.reason_id or letter.reason_id == self.reason_id
        return has_id and has_reason and self.reason in letter.reason

    def queues(self) -> tuple[str, ...]:
        """The main queues whose dead letters to search.

        Raises:
            InvalidRequest: unknown queue.
        """
        names = main_queues()
        if self.queue and self.queue not in names:
            raise InvalidRequest(f"the queue is one of {', '.join(names)}")
        return (self.queue,) if self.queue else names


#: Selects all dead letters.
ALL = Selection(frozenset())
#: RabbitMQ requeues the dead letters of a walk a moment after its end; until then, other walks do
#: not see them. So a walk that misses some is repeated.
REPEATS, REPEAT_AFTER_S = 6, 0.25


def apply(
    selection: Selection,
    decision: Decision,
    *,
    at_most: int | None = None,
    at_least: int = 0,
) -> tuple[int, list[str]]:
    """Apply a decision to the selected dead letters; returns their number and the ids not found.

    At most `at_most` are handled; the rest stays. Repeats the walk for up to 1.5 s until at least
    `at_least` are handled, and all ids that `selection` names are found.

    Raises:
        BrokerDown: RabbitMQ can't be reached or did not confirm a replay; earlier ones are done.
    """
    found_ids: set[str] = set()
    remaining = at_most

    def decide(letter: DeadLetter) -> Decision:
        nonlocal remaining
        if not selection.matches(letter):
            return Decision.KEEP
        found_ids.add(letter.id)
        remaining = None if remaining is None else remaining - 1
        return decision

    def is_enough() -> bool:
        return remaining is not None and remaining <= 0

    number = 0
    for _ in _repeated_walks():
        number += walk(amqp_url(), decide, selection.queues(), is_enough=is_enough)[decision]
        if is_enough() or (number >= at_least and found_ids >= selection.ids):
            break
    return number, sorted(selection.ids - found_ids)


def collect(
    selection: Selection, read: Callable[[DeadLetter], Result], limit: int | None = None
) -> list[Result]:
    """The results of `read` for each selected dead letter; the letters themselves are not kept.

    `limit`: maximum number of dead letters read of each queue. Repeats the walk for up to 1.5 s
    until it has found all ids that `selection` names.
    """
    results: list[Result] = []
    found_ids: set[str] = set()

    def decide(letter: DeadLetter) -> Decision:
        if selection.matches(letter):
            results.append(read(letter))
            found_ids.add(letter.id)
        return Decision.KEEP

    for _ in _repeated_walks():
        results.clear()
        walk(amqp_url(), decide, selection.queues(), limit=limit)
        if found_ids >= selection.ids:
            break
    return results


def _repeated_walks() -> Iterator[None]:
    """Yield once for each walk, with a pause before each repetition."""
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


def group_by_reason(letters: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Group summaries of dead letters by queue and reason, with number and times; most first."""
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
    envelope = {"content_type": letter.properties.content_type, "headers": headers}
    for encoding, read in readers:
        try:
            return envelope | {"encoding": encoding, "body": read(letter.body)}
        except (ValueError, TypeError):
            continue
    raise AssertionError("base64 encodes every body")


def _json(body: bytes) -> Any:
    """The parsed body; fails if it is nested too deeply to be serialised in the response."""
    parsed = orjson.loads(body)
    orjson.dumps([[[[parsed]]]])  # as deep as in the response
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


def amqp_url() -> str:
    """The URL of RabbitMQ."""
    return secrets.require("amqp-url")

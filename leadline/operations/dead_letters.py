"""Dead letters as operators see them, and what shall become of those that they choose."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from leadline.connector.dead_letters import DeadLetter, Decision, walk, work_queues
from leadline.errors import InvalidRequest
from leadline.runtime import secrets

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant."""

    ids: frozenset[str]
    queue: str = ""
    reason: str = ""

    def has(self, letter: DeadLetter) -> bool:
        """Whether this one is meant."""
        return (not self.ids or letter.id in self.ids) and self.reason in letter.reason

    def queues(self) -> tuple[str, ...]:
        """Where to look."""
        known = work_queues()
        if self.queue and self.queue not in known:
            raise InvalidRequest(f"the queue is one of {', '.join(known)}")
        return (self.queue,) if self.queue else known


#: No choice is made.
EVERY_ONE = Choice(frozenset())


def carry_out(choice: Choice, decision: Decision) -> tuple[int, list[str]]:
    """Do this to all that are meant; returns how many there were, and ids that were not there.

    Raises:
        BrokerDown: RabbitMQ can't be reached, or did not take a replay; those before it are done.
    """
    seen: set[str] = set()

    def decide(letter: DeadLetter) -> Decision:
        if not choice.has(letter):
            return Decision.KEEP
        seen.add(letter.id)
        return decision

    number = walk(url(), decide, choice.queues())[decision]
    return number, sorted(choice.ids - seen)


def look(
    choice: Choice, read: Callable[[DeadLetter], Read], limit: int | None = None
) -> list[Read]:
    """What `read` takes from each letter that is meant; bodies are not kept."""
    found: list[Read] = []

    def decide(letter: DeadLetter) -> Decision:
        if choice.has(letter):
            found.append(read(letter))
        return Decision.KEEP

    walk(url(), decide, choice.queues(), limit=limit)
    return found


def summary(letter: DeadLetter) -> dict[str, Any]:
    """What a list shows: nothing of the content."""
    return {
        "id": letter.id,
        "queue": letter.queue,
        "reason": letter.reason,
        "died_at": letter.died_at,
        "attempts": letter.attempts,
        "bytes": len(letter.body),
        "message_id": letter.properties.message_id,
        "correlation_id": letter.properties.correlation_id,
    }


def content(letter: DeadLetter) -> dict[str, Any]:
    """Headers and body: as JSON, else as text, else in base64."""
    readers: tuple[tuple[str, Callable[[bytes], Any]], ...] = (
        ("json", _json),
        ("text", bytes.decode),
        ("base64", lambda body: base64.b64encode(body).decode()),
    )
    headers = {name: _plain(value) for name, value in (letter.properties.headers or {}).items()}
    whole = {"content_type": letter.properties.content_type, "headers": headers}
    for encoding, read in readers:
        try:
            return whole | {"encoding": encoding, "body": read(letter.body)}
        except (ValueError, TypeError):
            continue
    raise AssertionError("base64 takes every body")


def _json(body: bytes) -> Any:
    """The document, unless it is deeper than what can be written again, in the answer around it."""
    found = orjson.loads(body)
    orjson.dumps([[[[found]]]])
    return found


def _plain(value: Any) -> Any:
    """A header's value as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # pika has an integer of its own
    return value if isinstance(value, float | str | bool | None) else str(value)


def url() -> str:
    """RabbitMQ's address."""
    return secrets.require("amqp-url")

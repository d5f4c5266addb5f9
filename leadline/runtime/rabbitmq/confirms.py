"""Publisher confirms: messages on their way to the broker, and how each of them ends."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.telemetry import metrics, tracing
from leadline.runtime.telemetry.tracing import Span

log = structlog.get_logger()

PUBLISHED = metrics.Counter(
    "leadline_messages_published_total",
    "Messages by what the broker made of them",
    "result",
    known=("confirmed", "failed"),
)

#: More are not handed to pika before the broker has confirmed some: it would keep them in memory.
MAX_UNCONFIRMED = 1000

Done = Callable[[bool], None]
#: Tells a returned message from others: one with the same queue, id and body would do as well.
_Key = tuple[str, str | None, bytes]


@dataclass(slots=True)
class Outgoing:
    """A message that is not confirmed yet; after `deadline` it counts as not published."""

    message: Message
    done: Done
    deadline: float


class Confirms:
    """The messages of one channel that the broker has not confirmed, by their delivery tags."""

    def __init__(self) -> None:
        self._unconfirmed: dict[int, Outgoing] = {}
        self._returned: set[_Key] = set()
        self._next_tag = 1

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def is_full(self) -> bool:
        """Whether as many are unconfirmed as may be at once."""
        return len(self._unconfirmed) >= MAX_UNCONFIRMED

    def begin_channel(self) -> None:
        """A new channel counts from 1; the confirms of returned messages went with the old one."""
        self._next_tag = 1
        self._returned.clear()

    def expect(self, item: Outgoing) -> None:
        """This message is published next."""
        self._unconfirmed[self._next_tag] = item
        self._next_tag += 1

    def take_back(self) -> Outgoing:
        """The last message was not published after all: the broker does not count it."""
        self._next_tag -= 1
        return self._unconfirmed.pop(self._next_tag)

    def note_returned(self, queue: str, message_id: str | None, body: bytes) -> None:
        """The broker could not route this message; it confirms it all the same."""
        self._returned.add((queue, message_id or None, body))

    def settle(self, method: Any) -> bool:
        """End what an Ack or Nack is about; returns whether any message was confirmed."""
        acked = is_ack(method)
        tag = method.delivery_tag
        tags = [tag]
        if method.multiple:
            tags = [one for one in self._unconfirmed if one <= tag or tag == 0]
        was_confirmed = False
        for one in tags:
            item = self._unconfirmed.pop(one, None)
            if item is None:
                continue
            if acked and not self._was_returned(item.message):
                was_confirmed = True
                PUBLISHED.inc("confirmed")
                item.done(True)  # noqa: FBT003
            else:
                fail([item])
        return was_confirmed

    def expire(self) -> None:
        """Fail the messages whose confirms are overdue."""
        now = time.monotonic()
        late = [tag for tag, item in self._unconfirmed.items() if item.deadline < now]
        fail([self._unconfirmed.pop(tag) for tag in late])

    def fail_all(self) -> None:
        """The connection is lost, and every confirm with it."""
        fail(list(self._unconfirmed.values()))
        self._unconfirmed.clear()

    def _was_returned(self, message: Message) -> bool:
        if not self._returned:
            return False
        key = (message.queue, message.message_id or None, message.body)
        is_returned = key in self._returned
        self._returned.discard(key)
        return is_returned


def is_ack(method: Any) -> bool:
    """Whether the broker confirms; it may refuse as well (basic.nack)."""
    return type(method).__name__ == "Ack"


def fail(items: Iterable[Outgoing]) -> None:
    """These messages count as not published."""
    for item in items:
        PUBLISHED.inc("failed")
        item.done(False)  # noqa: FBT003


def trace(items: Iterable[Outgoing]) -> None:
    """Make each message's way to the broker a span of its trace, the parent of what follows."""
    if not tracing.is_enabled():
        return
    for item in items:
        parent = item.message.headers.get("traceparent")
        if parent is not None:
            _trace(item, parent)


def _trace(item: Outgoing, parent: str) -> None:
    message, done = item.message, item.done
    name = f"publish {message.queue}"
    span = Span(name, "PRODUCER", parent, message_id=message.message_id)
    item.message = replace(message, headers={**message.headers, "traceparent": span.traceparent})

    def ended(confirmed: bool) -> None:  # noqa: FBT001
        span.end("" if confirmed else "not confirmed")
        done(confirmed)

    item.done = ended

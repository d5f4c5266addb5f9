"""Publisher confirms: tracks each message until the broker acks or nacks it."""

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
    "Messages by result: confirmed by the broker, or failed",
    "result",
    label_values=("confirmed", "failed"),
)

#: Maximum number of unconfirmed messages of a channel; pika would keep further ones in memory.
MAX_UNCONFIRMED = 1000

#: Callback for a message; its argument: whether the broker confirmed it.
Done = Callable[[bool], None]
#: Identifies a returned message: queue, id and body; equal ones are interchangeable.
_Key = tuple[str, str | None, bytes]


@dataclass(slots=True)
class Outgoing:
    """An unconfirmed message; after `deadline` it counts as not published."""

    message: Message
    done: Done
    deadline: float


class Confirms:
    """The unconfirmed messages of a channel, by delivery tag."""

    def __init__(self) -> None:
        self._unconfirmed: dict[int, Outgoing] = {}
        self._returned: set[_Key] = set()
        self._next_tag = 1

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def is_full(self) -> bool:
        """Whether there are as many unconfirmed messages as allowed."""
        return len(self._unconfirmed) >= MAX_UNCONFIRMED

    def begin_channel(self) -> None:
        """Start counting at 1 for a new channel; confirms of the old one no longer arrive."""
        self._next_tag = 1
        self._returned.clear()

    def track(self, item: Outgoing) -> None:
        """Track the message that is published next."""
        self._unconfirmed[self._next_tag] = item
        self._next_tag += 1

    def untrack_last(self) -> Outgoing:
        """Stop tracking the last message: it was not published, so the broker does not count it."""
        self._next_tag -= 1
        return self._unconfirmed.pop(self._next_tag)

    def note_returned(self, queue: str, message_id: str | None, body: bytes) -> None:
        """Record that the broker could not route this message; its confirm still follows."""
        self._returned.add((queue, message_id or None, body))

    def resolve(self, method: Any) -> bool:
        """Complete the messages of an Ack or Nack; returns whether any was confirmed."""
        was_acked = is_ack(method)
        last_tag = method.delivery_tag
        tags = [last_tag]
        if method.multiple:  # all up to this tag; 0: all (AMQP 0-9-1, basic.ack)
            tags = [tag for tag in self._unconfirmed if tag <= last_tag or last_tag == 0]
        was_confirmed = False
        for tag in tags:
            item = self._unconfirmed.pop(tag, None)
            if item is None:
                continue
            if was_acked and not self._forget_return(item.message):
                was_confirmed = True
                PUBLISHED.inc("confirmed")
                item.done(True)  # noqa: FBT003
            else:
                fail([item])
        return was_confirmed

    def expire(self) -> bool:
        """Fail the messages past their deadline; returns whether there were any."""
        now = time.monotonic()
        late = [tag for tag, item in self._unconfirmed.items() if item.deadline < now]
        fail([self._unconfirmed.pop(tag) for tag in late])
        return bool(late)

    def fail_all(self) -> None:
        """Fail all messages, as after a lost connection."""
        fail(list(self._unconfirmed.values()))
        self._unconfirmed.clear()

    def _forget_return(self, message: Message) -> bool:
        """Forget the return of this message, if there was one; returns whether there was."""
        if not self._returned:
            return False
        key = (message.queue, message.message_id or None, message.body)
        is_returned = key in self._returned
        self._returned.discard(key)
        return is_returned


def is_ack(method: Any) -> bool:
    """Whether this is a basic.ack, not a basic.nack."""
    return type(method).__name__ == "Ack"


def fail(items: Iterable[Outgoing]) -> None:
    """Report these messages as not published."""
    for item in items:
        PUBLISHED.inc("failed")
        item.done(False)  # noqa: FBT003


def start_spans(items: Iterable[Outgoing]) -> None:
    """Start a span for publishing each message; it becomes the parent in the message."""
    if not tracing.is_enabled():
        return
    for item in items:
        parent = item.message.headers.get("traceparent")
        if parent is not None:
            _start_span(item, parent)


def _start_span(item: Outgoing, parent: str) -> None:
    message, done = item.message, item.done
    name = f"publish {message.queue}"
    span = Span(name, "PRODUCER", parent, message_id=message.message_id)
    item.message = replace(message, headers={**message.headers, "traceparent": span.traceparent})

    def on_confirm(confirmed: bool) -> None:  # noqa: FBT001
        span.end("" if confirmed else "not confirmed")
        done(confirmed)

    item.done = on_confirm

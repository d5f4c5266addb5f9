"""A message between its delivery and its acknowledgement."""

import time
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.data import encode_table

from leadline.messages import topology
from leadline.messages.cloudevents import ATTEMPT
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.telemetry import metrics

logger = structlog.get_logger()

DEAD = metrics.Counter(
    "leadline_messages_died_total", "Messages put into the dead letters, by their queue", "queue"
)

MAX_ATTEMPTS = 20
#: Of what a sender may have in the headers of a message, half of a frame (RabbitMQ's frame_max).
HEADERS_MAX_BYTES = 64 * 1024
ATTEMPT_HEADER = f"ce-{ATTEMPT}"
#: Headers that RabbitMQ acts upon: more queues that a message goes to
#: (https://www.rabbitmq.com/docs/sender-selected), and where it died before.
_BROKERS_OWN = frozenset({"CC", "BCC"})
_BROKERS_MARKS = ("x-death", "x-first-death-", "x-last-death-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the function said: served, not now, or never."""

    is_served: bool
    is_final: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        """The verdict in a word, for counting."""
        if self.is_served:
            return "served"
        return "never" if self.is_final else "not now"


SERVED = Verdict(is_served=True)


@dataclass(frozen=True, slots=True)
class Copy(Message):
    """A message for another queue, with all that its sender said of it."""

    kept: pika.BasicProperties = field(kw_only=True)

    def properties(self) -> pika.BasicProperties:
        """As they came, with the headers of the copy."""
        return self.kept


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came, and the one channel where it can be acknowledged."""

    channel: BlockingChannel
    tag: int
    queue: str
    properties: pika.BasicProperties
    body: bytes
    attempt: int
    #: It was in a batch of which nobody knows whether it was served.
    may_be_served: bool = False

    def in_doubt(self) -> "Received":
        """The message after such a batch."""
        return replace(self, may_be_served=True)

    @property
    def delay_s(self) -> int:
        """How long it waits until it is delivered again."""
        return topology.RETRY_STEPS_S[min(self.attempt, len(topology.RETRY_STEPS_S)) - 1]

    def refuge(self, verdict: Verdict) -> str:
        """The queue where it waits or rests after this verdict."""
        if self._is_dead(verdict):
            return topology.dead_letters(self.queue)
        return topology.delay(self.queue, self.delay_s)

    def copy(self, verdict: Verdict) -> Copy:
        """What waits or rests there; acknowledge this message once the broker has it."""
        properties = passed_on(self.properties)
        properties.headers = {**_fitting(properties.headers or {}), **self._marks(verdict)}
        return Copy(self.refuge(verdict), self.body, properties.message_id or "", kept=properties)

    def note(self, verdict: Verdict) -> None:
        """Log and count that it waits or rests now."""
        about = {"reason": verdict.reason, **self.about()}
        if self._is_dead(verdict):
            DEAD.inc(self.queue)
            logger.error("message dead", **about)
        else:
            logger.warning("message delayed", retry_in_s=self.delay_s, **about)

    def again(self) -> "Received":
        """The message as it is delivered once more by this very connector."""
        return replace(self, attempt=self.attempt + 1)

    def about(self) -> dict[str, Any]:
        """What a log line says of it."""
        return {
            "queue": self.queue,
            "message_id": self.properties.message_id,
            "correlation_id": self.properties.correlation_id,
            "attempt": self.attempt,
        }

    def _is_dead(self, verdict: Verdict) -> bool:
        return verdict.is_final or self.attempt >= MAX_ATTEMPTS

    def _marks(self, verdict: Verdict) -> dict[str, Any]:
        """Headers: how often it was delivered, and of a dead letter its reason and its origin."""
        if not self._is_dead(verdict):
            return {ATTEMPT_HEADER: self.attempt + 1}
        return {
            "x-reason": verdict.reason,
            "x-origin": self.queue,
            "x-died-at": int(time.time()),
            ATTEMPT_HEADER: self.attempt,
        }


def passed_on(properties: pika.BasicProperties) -> pika.BasicProperties:
    """What a sender said of its message, for a copy that goes out by our own login.

    Without what would have RabbitMQ do more with it than we want: send it to queues of the sender's
    choice, delete it after the sender's time, or refuse it as another user's.
    """
    kept = copy(properties)
    kept.headers = {
        name: value
        for name, value in (properties.headers or {}).items()
        if name not in _BROKERS_OWN and not name.startswith(_BROKERS_MARKS)
    }
    kept.expiration = kept.user_id = None
    kept.delivery_mode = 2
    return kept


def _fitting(headers: dict[str, Any]) -> dict[str, Any]:
    """These headers, none of them where the copy's would be more than a frame holds: the broker
    would hang up on that, and again each time that the message comes.
    """
    return headers if encode_table([], headers) <= HEADERS_MAX_BYTES else {}


def attempt_of(properties: pika.BasicProperties, *, redelivered: bool) -> int:
    """Which delivery of this message this is: 1 only if nobody can have seen it before."""
    headers = properties.headers or {}
    counted = headers.get(ATTEMPT_HEADER, 1)
    # No more than counts: a greater number may be one that no header can hold once it has grown.
    attempt = min(counted, MAX_ATTEMPTS) if isinstance(counted, int) and counted > 0 else 1
    return attempt + 1 if redelivered else attempt

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
from leadline.messages.attributes import ATTEMPT
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.telemetry import metrics

logger = structlog.get_logger()

DEAD = metrics.Counter(
    "leadline_messages_died_total", "Messages moved to the dead letters, by queue", "queue"
)

#: After this many failed deliveries a message goes to the dead letters.
MAX_DELIVERY_ATTEMPTS = 20
#: Maximum size of a sender's headers, half of a frame (RabbitMQ's frame_max).
HEADERS_MAX_BYTES = 64 * 1024
ATTEMPT_HEADER = f"ce-{ATTEMPT}"
#: Headers that RabbitMQ acts on: additional target queues
#: (https://www.rabbitmq.com/docs/sender-selected), and its dead-letter records.
_ROUTING_HEADERS = frozenset({"CC", "BCC"})
_DEATH_PREFIXES = ("x-death", "x-first-death-", "x-last-death-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a function's answer means: served, retry later, or dead letter."""

    is_served: bool
    #: Not served, and another delivery would fail too.
    is_final: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        """The verdict as a metric label."""
        if self.is_served:
            return "served"
        return "dead_letter" if self.is_final else "retry"


SERVED = Verdict(is_served=True)


@dataclass(frozen=True, slots=True)
class Forwarded(Message):
    """A copy of a message for an auxiliary queue, with its original properties."""

    original: pika.BasicProperties = field(kw_only=True)

    def properties(self) -> pika.BasicProperties:
        """The original properties, with the headers of the copy."""
        return self.original


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A delivered message, and the channel on which to acknowledge it."""

    channel: BlockingChannel
    tag: int
    queue: str
    properties: pika.BasicProperties
    body: bytes
    #: The delivery attempt, from 1.
    attempt: int
    #: It was in a batch with an unknown outcome, so its function may have served it.
    maybe_served: bool = False

    def with_unknown_outcome(self) -> "ReceivedMessage":
        """A copy marked as possibly served by a batch."""
        return replace(self, maybe_served=True)

    @property
    def delay_s(self) -> int:
        """Seconds until the next delivery attempt."""
        return topology.RETRY_STEPS_S[min(self.attempt, len(topology.RETRY_STEPS_S)) - 1]

    def target_queue(self, verdict: Verdict) -> str:
        """The delay or dead-letter queue for this verdict."""
        if self._is_dead(verdict):
            return topology.dead_letter_name(self.queue)
        return topology.delay_name(self.queue, self.delay_s)

    def copy(self, verdict: Verdict) -> Forwarded:
        """The copy for `target_queue`; acknowledge this message once that copy is confirmed."""
        properties = forwarded_properties(self.properties)
        properties.headers = {
            **_headers_that_fit(properties.headers or {}),
            **self._new_headers(verdict),
        }
        return Forwarded(
            self.target_queue(verdict), self.body, properties.message_id or "", original=properties
        )

    def log_moved(self, verdict: Verdict) -> None:
        """Log that the message was moved, and count dead letters."""
        fields = {"reason": verdict.reason, **self.log_fields()}
        if self._is_dead(verdict):
            DEAD.inc(self.queue)
            logger.error("message moved to dead letters", **fields)
        else:
            logger.warning("message delayed", retry_in_s=self.delay_s, **fields)

    def for_redelivery(self) -> "ReceivedMessage":
        """The message for another delivery attempt by this connector."""
        return replace(self, attempt=self.attempt + 1)

    def log_fields(self) -> dict[str, Any]:
        """The fields that identify it in a log line."""
        return {
            "queue": self.queue,
            "message_id": self.properties.message_id,
            "correlation_id": self.properties.correlation_id,
            "attempt": self.attempt,
        }

    def _is_dead(self, verdict: Verdict) -> bool:
        return verdict.is_final or self.attempt >= MAX_DELIVERY_ATTEMPTS

    def _new_headers(self, verdict: Verdict) -> dict[str, Any]:
        """The attempt header, and for a dead letter its reason, origin and time."""
        if not self._is_dead(verdict):
            return {ATTEMPT_HEADER: self.attempt + 1}
        return {
            "x-reason": verdict.reason,
            "x-origin": self.queue,
            "x-died-at": int(time.time()),
            ATTEMPT_HEADER: self.attempt,
        }


def forwarded_properties(properties: pika.BasicProperties) -> pika.BasicProperties:
    """The sender's properties for a copy that our own login publishes.

    Omits the properties that would make RabbitMQ route the copy to queues of the sender's choice,
    expire it when the sender wanted, or reject it as published by another login.
    """
    forwarded = copy(properties)
    forwarded.headers = {
        name: value
        for name, value in (properties.headers or {}).items()
        if name not in _ROUTING_HEADERS and not name.startswith(_DEATH_PREFIXES)
    }
    forwarded.expiration = forwarded.user_id = None
    forwarded.delivery_mode = 2  # persistent
    return forwarded


def _headers_that_fit(headers: dict[str, Any]) -> dict[str, Any]:
    """These headers, or none if they are too large.

    The broker closes the connection on a frame over its limit, and would again at each delivery.
    """
    return headers if encode_table([], headers) <= HEADERS_MAX_BYTES else {}


def attempt_of(properties: pika.BasicProperties, *, is_redelivered: bool) -> int:
    """The delivery attempt of a message; 1 only if it cannot have been delivered before."""
    headers = properties.headers or {}
    counted = headers.get(ATTEMPT_HEADER, 1)
    # Capped: a larger number may overflow the header once incremented.
    is_number = isinstance(counted, int) and counted > 0
    attempt = min(counted, MAX_DELIVERY_ATTEMPTS) if is_number else 1
    return attempt + 1 if is_redelivered else attempt

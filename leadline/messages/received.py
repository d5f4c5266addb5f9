"""A message between its delivery and its acknowledgement."""

import time
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from leadline.messages import topology
from leadline.messages.delivery import ATTEMPT
from leadline.runtime import metrics

logger = structlog.get_logger()

DEAD = metrics.Counter(
    "leadline_messages_died_total", "Messages put into the dead letters, by their queue", "queue"
)

MAX_ATTEMPTS = 20
ATTEMPT_HEADER = f"ce-{ATTEMPT}"


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

    def put_aside(self, verdict: Verdict) -> None:
        """Publish a copy to where what was not served waits or rests; to be acknowledged then.

        Raises:
            UnroutableError, NackError: the broker has not taken the copy.
        """
        if self._is_dead(verdict):
            self._bury(verdict)
        else:
            self._delay(verdict)

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

    def _bury(self, verdict: Verdict) -> None:
        """Into the dead letters, with the reason and the origin."""
        grave = {"x-reason": verdict.reason, "x-origin": self.queue, "x-died-at": int(time.time())}
        grave[ATTEMPT_HEADER] = self.attempt
        self._copy_to(self.refuge(verdict), grave)
        DEAD.inc(self.queue)
        logger.error("message dead", reason=verdict.reason, **self.about())

    def _delay(self, verdict: Verdict) -> None:
        """Into a delay queue, which gives it back after its time."""
        self._copy_to(self.refuge(verdict), {ATTEMPT_HEADER: self.attempt + 1})
        logger.warning(
            "message delayed", reason=verdict.reason, retry_in_s=self.delay_s, **self.about()
        )

    def _copy_to(self, queue: str, headers: dict[str, Any]) -> None:
        properties = copy(self.properties)
        properties.headers = {**(properties.headers or {}), **headers}
        properties.delivery_mode = 2
        # Returns once the broker has confirmed the copy; raises if it has not.
        self.channel.basic_publish("", queue, self.body, properties, mandatory=True)


def attempt_of(properties: pika.BasicProperties, *, redelivered: bool) -> int:
    """Which delivery of this message this is: 1 only if nobody can have seen it before."""
    headers = properties.headers or {}
    counted = headers.get(ATTEMPT_HEADER, 1)
    attempt = counted if isinstance(counted, int) and counted > 0 else 1
    return attempt + 1 if redelivered else attempt

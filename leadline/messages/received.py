"""A message between its delivery and its acknowledgement."""

import time
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

    def put_aside(self, verdict: Verdict) -> None:
        """Publish a copy to where what was not served waits or rests; to be acknowledged then."""
        if verdict.is_final or self.attempt >= MAX_ATTEMPTS:
            self._bury(verdict.reason)
        else:
            self._delay(verdict.reason)

    def _bury(self, reason: str) -> None:
        """Into the dead letters, with the reason and the origin."""
        grave = {"x-reason": reason, "x-origin": self.queue, "x-died-at": int(time.time())}
        grave[ATTEMPT_HEADER] = self.attempt
        self._copy_to(topology.dead_letters(self.queue), grave)
        DEAD.inc(self.queue)
        logger.error("message dead", reason=reason, **self._about())

    def _delay(self, reason: str) -> None:
        """Into a delay queue, which gives it back after its time."""
        step_s = topology.RETRY_STEPS_S[min(self.attempt, len(topology.RETRY_STEPS_S)) - 1]
        self._copy_to(topology.delay(self.queue, step_s), {ATTEMPT_HEADER: self.attempt + 1})
        logger.warning("message delayed", reason=reason, retry_in_s=step_s, **self._about())

    def _copy_to(self, queue: str, headers: dict[str, Any]) -> None:
        self.properties.headers = {**(self.properties.headers or {}), **headers}
        self.properties.delivery_mode = 2
        # Returns once the broker has confirmed the copy; raises if it has not.
        self.channel.basic_publish("", queue, self.body, self.properties, mandatory=True)

    def _about(self) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "message_id": self.properties.message_id,
            "correlation_id": self.properties.correlation_id,
            "attempt": self.attempt,
        }


def attempt_of(properties: pika.BasicProperties, *, redelivered: bool) -> int:
    """Which delivery of this message this is: 1 only if nobody can have seen it before."""
    headers = properties.headers or {}
    counted = headers.get(ATTEMPT_HEADER, 1)
    attempt = counted if isinstance(counted, int) and counted > 0 else 1
    return attempt + 1 if redelivered else attempt

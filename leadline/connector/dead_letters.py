"""Dead letters: messages that could not be served, with their reason, until an operator decides.

Nobody consumes these queues. A walk takes the letters with `basic.get`, holds them without
acknowledgement, and gives back at its end all that were not decided on. So a walk that breaks
off, however that happens, loses none: RabbitMQ gives back what a closed channel held. While a
walk lasts, another one sees only what the first has not taken.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError, UnroutableError

from leadline.connector.message import ATTEMPT_HEADER, passed_on
from leadline.connector.queue_depths import connected, depth
from leadline.errors import BrokerDown
from leadline.messages import topology
from leadline.messages.cloudevents import RESENT
from leadline.settings import settings

#: What death wrote on a message; a replay goes out without it, its attempts counted anew.
_MARKS = frozenset({"x-reason", "x-origin", "x-died-at", "x-delivery-count", ATTEMPT_HEADER})
#: Characters of a reason that are shown; it is its sender's where RabbitMQ gave the message up.
REASON_MAX = 1000


class Decision(Enum):
    """What becomes of a dead letter."""

    KEEP = "keep"
    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies in its queue."""

    queue: str
    properties: pika.BasicProperties
    body: bytes

    @property
    def id(self) -> str:
        """The same in every walk; letters that are alike in all share it."""
        parts = (self.queue, self.properties.message_id, self._header("x-died-at"))
        return hashlib.sha256(repr(parts).encode() + self.body).hexdigest()[:12]

    @property
    def reason(self) -> str:
        """Why it could not be served: the connector's words, else RabbitMQ's."""
        reason = self._header("x-reason") or self._death().get("reason") or "unknown"
        return str(reason)[:REASON_MAX]

    @property
    def died_at(self) -> datetime | None:
        """When; None where nobody wrote it down."""
        at = self._header("x-died-at") or self._death().get("time")
        if isinstance(at, datetime):
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        try:
            return datetime.fromtimestamp(at, UTC) if isinstance(at, int) else None
        except (ValueError, OverflowError, OSError):
            return None  # no clock says that

    @property
    def attempts(self) -> int | None:
        """How often it was delivered; None where nobody counted."""
        count = self._header(ATTEMPT_HEADER) or self._header("x-delivery-count")
        return count if isinstance(count, int) else None

    def _header(self, name: str) -> Any:
        return (self.properties.headers or {}).get(name)

    def _death(self) -> dict[str, Any]:
        """What RabbitMQ noted when it gave the message up itself."""
        deaths = self._header("x-death")
        last = deaths[0] if isinstance(deaths, list) and deaths else None
        return last if isinstance(last, dict) else {}


Decide = Callable[[Letter], Decision]


def work_queues() -> tuple[str, ...]:
    """Queues that have dead letters: ours, and those that may be answered on."""
    return tuple(
        dict.fromkeys(
            (topology.REQUESTS, topology.REPLIES, *sorted(settings().allowed_reply_queues))
        )
    )


def walk(
    url: str, decide: Decide, queues: Iterable[str], *, limit: int | None = None
) -> Counter[Decision]:
    """Ask `decide` about each letter, oldest first, and do as it says; returns how many of each.

    Letters that die meanwhile are left for the next walk; `limit` bounds the letters of a queue.
    A replay is confirmed by its work queue before it leaves the dead letters: a crash in between
    makes it come twice, which is harmless, and never loses it.

    Raises:
        BrokerDown: RabbitMQ can't be reached, or did not take a replay; that letter stays.
    """
    done: Counter[Decision] = Counter()
    with connected(url) as connection:
        for queue in queues:
            for letter, channel, tag in _letters(connection, queue, limit):
                decision = decide(letter)
                if decision is Decision.REPLAY:
                    _replay(channel, letter)
                if decision is not Decision.KEEP:
                    channel.basic_ack(tag)
                done[decision] += 1
    return done


def _letters(
    connection: pika.BlockingConnection, queue: str, limit: int | None
) -> Iterator[tuple[Letter, BlockingChannel, int]]:
    grave = topology.dead_letters(queue)
    there = depth(connection, grave)
    if there is None:
        return
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(there.messages if limit is None else min(there.messages, limit)):
        method, properties, body = channel.basic_get(grave)
        if method is None or properties is None or body is None:
            break  # somebody else holds or has decided on the rest
        yield Letter(queue, properties, body), channel, method.delivery_tag
    # Tag 0: all that this channel still holds.
    channel.basic_nack(0, multiple=True, requeue=True)
    channel.close()


def _replay(channel: BlockingChannel, letter: Letter) -> None:
    properties = passed_on(letter.properties)
    kept = {name: value for name, value in properties.headers.items() if name not in _MARKS}
    # Whoever served it before may have made a lead: it must be looked for.
    properties.headers = {**kept, f"ce-{RESENT}": "true"}
    try:
        # confirm and mandatory: without both an unroutable message vanishes
        channel.basic_publish("", letter.queue, letter.body, properties, mandatory=True)
    except UnroutableError:
        raise BrokerDown(f"there is no queue {letter.queue}: start the connector") from None
    except NackError:
        raise BrokerDown(f"RabbitMQ did not take a message for {letter.queue}") from None

"""Dead letters: list, replay and discard messages that could not be processed.

Their queues have no consumer. `walk` fetches messages with `basic.get`, does not acknowledge those
to keep, and requeues them at its end. So an aborted walk loses nothing: RabbitMQ requeues what a
closed channel held. Of two concurrent walks, each sees only what the other has not fetched.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from leadline.connector.message import ATTEMPT_HEADER, forwarded_properties
from leadline.connector.queue_depths import NOT_FOUND, depth, open_connection
from leadline.errors import BrokerDown
from leadline.messages import topology
from leadline.messages.attributes import RESENT
from leadline.settings import settings

#: Headers added when a message was dead-lettered; a replay removes them, so that its delivery
#: attempts are counted from 1 again.
_DEATH_HEADERS = frozenset(
    {"x-reason", "x-origin", "x-died-at", "x-delivery-count", ATTEMPT_HEADER}
)
#: How long a walk waits at its end until RabbitMQ has requeued what it kept, so that the operator's
#: next command sees it. Not longer: another walk may have fetched some of it.
_REQUEUED_WITHIN_S = 2.0
_LOOK_EVERY_S = 0.02
#: Maximum length of a displayed reason, in characters; RabbitMQ's own may quote the sender.
REASON_MAX = 1000


class Decision(Enum):
    """What to do with a dead letter."""

    KEEP = "keep"
    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as RabbitMQ stores it."""

    #: The main queue in which it could not be processed.
    queue: str
    properties: pika.BasicProperties
    body: bytes

    @property
    def id(self) -> str:
        """A stable id; identical messages share it."""
        parts = (self.queue, self.properties.message_id, self._header("x-died-at"))
        return hashlib.sha256(repr(parts).encode() + self.body).hexdigest()[:12]

    @property
    def reason(self) -> str:
        """Why it could not be processed: the connector's reason, else RabbitMQ's."""
        reason = self._header("x-reason") or self._broker_record().get("reason") or "unknown"
        return str(reason)[:REASON_MAX]

    @property
    def reason_id(self) -> str:
        """An id of the reason, to store in place of its text, which may quote a person."""
        return hashlib.sha256(self.reason.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def died_at(self) -> datetime | None:
        """When it was dead-lettered; None if unknown."""
        time_of_death = self._header("x-died-at") or self._broker_record().get("time")
        if isinstance(time_of_death, datetime):
            return time_of_death if time_of_death.tzinfo else time_of_death.replace(tzinfo=UTC)
        try:
            return (
                datetime.fromtimestamp(time_of_death, UTC)
                if isinstance(time_of_death, int)
                else None
            )
        except (ValueError, OverflowError, OSError):
            return None  # out of range

    @property
    def attempts(self) -> int | None:
        """How often it was delivered; None if unknown."""
        count = self._header(ATTEMPT_HEADER) or self._header("x-delivery-count")
        return count if isinstance(count, int) else None

    def _header(self, name: str) -> Any:
        return (self.properties.headers or {}).get(name)

    def _broker_record(self) -> dict[str, Any]:
        """The `x-death` entry, if RabbitMQ dead-lettered the message itself."""
        deaths = self._header("x-death")
        newest = deaths[0] if isinstance(deaths, list) and deaths else None
        return newest if isinstance(newest, dict) else {}


Decide = Callable[[DeadLetter], Decision]


def main_queues() -> tuple[str, ...]:
    """The queues that have dead letters: ours and the allowed reply queues."""
    return tuple(
        dict.fromkeys(
            (topology.REQUESTS, topology.REPLIES, *sorted(settings().allowed_reply_queues))
        )
    )


def walk(
    url: str,
    decide: Decide,
    queues: Iterable[str],
    *,
    limit: int | None = None,
    is_enough: Callable[[], bool] = lambda: False,
) -> Counter[Decision]:
    """Carry out `decide` for each dead letter, oldest first; returns the count of each decision.

    `limit` is the maximum for each queue; `is_enough` ends the walk before the next letter. Dead
    letters that arrive meanwhile are left for the next walk. A replay is confirmed by its main
    queue before it is removed here: a crash in between duplicates the message, which is harmless,
    and never loses it.

    Raises:
        BrokerDown: RabbitMQ can't be reached, or did not confirm a replay; that message stays.
    """
    counts: Counter[Decision] = Counter()
    with open_connection(url) as connection:
        for queue in queues:
            kept_before = counts[Decision.KEEP]
            for letter, channel, tag in _dead_letters(connection, queue, limit, is_enough):
                decision = decide(letter)
                if decision is Decision.REPLAY:
                    _replay(channel, letter)
                if decision is not Decision.KEEP:
                    channel.basic_ack(tag)
                counts[decision] += 1
            _await_requeued(connection, queue, counts[Decision.KEEP] - kept_before)
    return counts


def _dead_letters(
    connection: pika.BlockingConnection,
    queue: str,
    limit: int | None,
    is_enough: Callable[[], bool],
) -> Iterator[tuple[DeadLetter, BlockingChannel, int]]:
    dead_letter_queue = topology.dead_letter_name(queue)
    if depth(connection, dead_letter_queue) is None:
        return
    channel = connection.channel()
    channel.confirm_delivery()
    fetched = 0
    count = limit
    while (count is None or fetched < count) and not is_enough():
        method, properties, body = channel.basic_get(dead_letter_queue)
        if method is None or properties is None or body is None:
            break  # another walk holds or has removed the rest
        # The first answer says how many messages follow it; the count of a declaration may lag.
        if not fetched:
            ready = method.message_count + 1
            count = ready if limit is None else min(ready, limit)
        yield DeadLetter(queue, properties, body), channel, method.delivery_tag
        fetched += 1
    # Tag 0: all unacknowledged messages of this channel.
    channel.basic_nack(0, multiple=True, requeue=True)
    channel.close()


def _await_requeued(connection: pika.BlockingConnection, queue: str, count: int) -> None:
    """Wait for a moment until this many dead letters are ready again."""
    until = time.monotonic() + _REQUEUED_WITHIN_S
    while count and time.monotonic() < until:
        found = depth(connection, topology.dead_letter_name(queue))
        if found is None or found.messages >= count:
            return
        connection.sleep(_LOOK_EVERY_S)


def _replay(channel: BlockingChannel, letter: DeadLetter) -> None:
    properties = forwarded_properties(letter.properties)
    headers = {
        name: value for name, value in properties.headers.items() if name not in _DEATH_HEADERS
    }
    # An earlier delivery may have created a lead: the lead must be looked up first.
    properties.headers = {**headers, f"ce-{RESENT}": "true"}
    try:
        # confirm and mandatory: without both an unroutable message vanishes
        channel.basic_publish(
            _exchange(letter.queue), letter.queue, letter.body, properties, mandatory=True
        )
    except UnroutableError:
        raise _no_queue(letter.queue) from None
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        raise _no_queue(letter.queue) from None  # its exchange is missing too
    except NackError:
        raise BrokerDown(f"RabbitMQ did not accept a message for {letter.queue}") from None


def _no_queue(queue: str) -> BrokerDown:
    return BrokerDown(f"there is no queue {queue}: start the connector")


def _exchange(queue: str) -> str:
    """The exchange that leads to a queue; for a reply queue of another system the default one."""
    return queue if queue in {topology.REQUESTS, topology.REPLIES} else ""

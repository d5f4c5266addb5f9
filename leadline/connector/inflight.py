"""Group delivery: what comes while others are being delivered leaves together, as one batch.

A message that comes alone goes at once and waits for nothing. Each keeps a verdict of its own: what
a batch was not served with is delivered alone.
"""

import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ConnectionWrongStateError

from leadline.connector.auxiliary_queues import AuxiliaryQueues
from leadline.connector.message import SERVED, Received, Verdict
from leadline.connector.post import Courier
from leadline.runtime.telemetry import metrics

logger = structlog.get_logger()

DELIVERIES = metrics.Counter(
    "leadline_deliveries_total",
    "Messages by queue and what their function said",
    "queue",
    "verdict",
)  # served, not now, never

#: Requests under way: while a function is at one, the next one gathers and goes.
POSTS = 2
#: One that takes longer than this holds nobody up any more.
PATIENCE_S = 1.0
#: Requests under way at most, whatever they take.
THREADS = 16


class Deliveries:
    """What came by one channel and is not settled; for the thread of its connection alone."""

    def __init__(
        self,
        connection: pika.BlockingConnection,
        channel: BlockingChannel,
        courier: Courier,
        auxiliary: AuxiliaryQueues,
        *,
        prefetch: int,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._courier = courier
        self._auxiliary = auxiliary
        self._at_most = max(1, prefetch // POSTS)
        self._waiting: deque[Received] = deque()
        #: Tags of all that is not acknowledged.
        self._unsettled: set[int] = set()
        #: Those of them that could not be put aside, and wait here until they are delivered again.
        self._held: set[int] = set()
        #: When the requests under way began, by their first message's tag.
        self._posts: dict[int, float] = {}
        # One pool a connection: a delivery can be settled on the channel it came by only.
        self._pool = ThreadPoolExecutor(THREADS)

    @property
    def is_done(self) -> bool:
        """Whether all is acknowledged, but for what RabbitMQ may as well give to others."""
        return self._unsettled == self._held

    def add(self, message: Received) -> None:
        """Deliver this message with the next `post`."""
        self._unsettled.add(message.tag)
        self._waiting.append(message)

    def post(self) -> None:
        """Deliver what waits, as long as there is a request to be had."""
        while self._waiting and self._is_free():
            count = min(self._at_most, len(self._waiting))
            lot = [self._waiting.popleft() for _ in range(count)]
            self._posts[lot[0].tag] = time.monotonic()
            self._pool.submit(self._deliver, lot)

    def close(self) -> None:
        """Begin nothing new; RabbitMQ gives to others what was not acknowledged."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _is_free(self) -> bool:
        now = time.monotonic()
        return sum(now - began < PATIENCE_S for began in self._posts.values()) < POSTS

    # --- in threads of the pool

    def _deliver(self, lot: list[Received]) -> None:
        if len(lot) == 1:
            self._deliver_alone(lot[0])
            return
        try:
            left = self._courier.deliver_together(lot)
        except Exception:  # the edge of the thread: a slot would be lost
            logger.exception("delivery failed")
            left = [message.in_doubt() for message in lot]
        self._afterwards(partial(self._split, lot, left))

    def _deliver_alone(self, message: Received) -> None:
        try:
            verdict = self._courier.deliver(message)
        except Exception as error:  # the edge of the thread: a slot would be lost
            logger.exception("delivery failed")
            verdict = Verdict(is_served=False, reason=f"not sent: {type(error).__name__}")
        self._afterwards(partial(self._settle, message, verdict))

    def _afterwards(self, work: Callable[[], None]) -> None:
        self._connection.add_callback_threadsafe(work)

    # --- in the thread of the publisher

    def _put(self, message: Received, verdict: Verdict, is_confirmed: bool) -> None:  # noqa: FBT001
        # Where the connection is gone, RabbitMQ gives the message to others.
        with suppress(ConnectionWrongStateError):
            self._afterwards(partial(self._put_aside, message, verdict, is_confirmed=is_confirmed))

    # --- in the connection's thread again

    def _split(self, lot: list[Received], left: list[Received]) -> None:
        """What the batch was served with is done; the others go alone."""
        del self._posts[lot[0].tag]
        tags = {message.tag for message in left}
        served = [message for message in lot if message.tag not in tags]
        if served:
            DELIVERIES.inc(served[0].queue, SERVED.name, by=len(served))
            self._acknowledge(served)
        for message in left:
            self._pool.submit(self._deliver_alone, message)

    def _settle(self, message: Received, verdict: Verdict) -> None:
        self._posts.pop(message.tag, None)
        DELIVERIES.inc(message.queue, verdict.name)
        if verdict.is_served:
            self._acknowledge([message])
        else:
            done = partial(self._put, message, verdict)
            self._auxiliary.put(message.copy(verdict), done)

    def _put_aside(self, message: Received, verdict: Verdict, *, is_confirmed: bool) -> None:
        """A copy of it waits or rests in another queue, unless the broker has not confirmed it."""
        if is_confirmed:
            message.note(verdict)
            self._acknowledge([message])
        else:
            self._hold(message, verdict)

    def _hold(self, message: Received, verdict: Verdict) -> None:
        """Keep it without acknowledgement until its delay is over, then deliver it again."""
        self._held.add(message.tag)
        self._connection.call_later(message.delay_s, partial(self._again, message))
        logger.warning(
            "message held, as it can't be put aside",
            refuge=message.refuge(verdict),
            reason=verdict.reason,
            retry_in_s=message.delay_s,
            **message.about(),
        )

    def _again(self, message: Received) -> None:
        self._held.discard(message.tag)
        self._waiting.append(message.again())

    def _acknowledge(self, messages: Sequence[Received]) -> None:
        """In one go those that nothing unsettled came before, the others one by one."""
        tags = [message.tag for message in messages]
        self._unsettled.difference_update(tags)
        first_left = min(self._unsettled, default=math.inf)
        before = bisect_left(tags, first_left)
        if before:
            self._channel.basic_ack(tags[before - 1], multiple=True)
        for tag in tags[before:]:
            self._channel.basic_ack(tag)

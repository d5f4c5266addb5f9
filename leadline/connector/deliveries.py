"""Messages in flight: those that arrive while posts are running share the next batch.

A message that arrives alone is posted at once. Each message gets its own verdict: if a batch is not
served, its messages are delivered again one by one.
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
from leadline.connector.function_client import FunctionClient
from leadline.connector.message import SERVED, ReceivedMessage, Verdict
from leadline.runtime.telemetry import metrics

logger = structlog.get_logger()

DELIVERIES = metrics.Counter(
    "leadline_deliveries_total",
    "Messages delivered to their function, by queue and verdict",
    "queue",
    "verdict",
)  # served, retry, dead_letter

#: Concurrent posts: while the function processes one, the next batch collects.
FAST_POSTS = 2
#: A post that takes longer no longer counts towards FAST_POSTS, so that the next one may start.
SLOW_AFTER_S = 1.0
#: Maximum number of concurrent posts, slow ones included.
MAX_THREADS = 16


class Deliveries:
    """The unacknowledged messages of one channel; used by its connection's thread only."""

    def __init__(
        self,
        connection: pika.BlockingConnection,
        channel: BlockingChannel,
        client: FunctionClient,
        auxiliary: AuxiliaryQueues,
        *,
        prefetch: int,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._client = client
        self._auxiliary = auxiliary
        self._max_batch = max(1, prefetch // FAST_POSTS)
        self._waiting: deque[ReceivedMessage] = deque()
        #: Delivery tags of all unacknowledged messages.
        self._unacknowledged: set[int] = set()
        #: Tags held until the next delivery attempt, because their auxiliary queue is unavailable.
        self._held: set[int] = set()
        #: Start times of running posts, by the tag of their first message.
        self._posts: dict[int, float] = {}
        # One pool for each connection: a message must be acknowledged on the channel it came from.
        self._pool = ThreadPoolExecutor(MAX_THREADS)

    @property
    def is_done(self) -> bool:
        """Whether only held messages are unacknowledged; RabbitMQ may redeliver those elsewhere."""
        return self._unacknowledged == self._held

    def add(self, message: ReceivedMessage) -> None:
        """Queue a message for the next `post`."""
        self._unacknowledged.add(message.tag)
        self._waiting.append(message)

    def post(self) -> None:
        """Start posts for the waiting messages while there are free slots."""
        while self._waiting and self._has_slot():
            count = min(self._max_batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            self._posts[batch[0].tag] = time.monotonic()
            self._pool.submit(self._deliver, batch)

    def close(self) -> None:
        """Start no more posts; RabbitMQ redelivers what was not acknowledged."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _has_slot(self) -> bool:
        """Whether another post may start: slow ones don't count."""
        now = time.monotonic()
        return sum(now - began < SLOW_AFTER_S for began in self._posts.values()) < FAST_POSTS

    # --- in the pool's threads

    def _deliver(self, batch: list[ReceivedMessage]) -> None:
        if len(batch) == 1:
            self._deliver_alone(batch[0])
            return
        try:
            unserved = self._client.deliver_batch(batch)
        except Exception:  # edge of the thread: a slot would be lost
            logger.exception("delivery failed")
            unserved = [message.with_unknown_outcome() for message in batch]
        self._run_on_connection(partial(self._finish_batch, batch, unserved))

    def _deliver_alone(self, message: ReceivedMessage) -> None:
        try:
            verdict = self._client.deliver(message)
        except Exception as error:  # edge of the thread: a slot would be lost
            logger.exception("delivery failed")
            verdict = Verdict(is_served=False, reason=f"not sent: {type(error).__name__}")
        self._run_on_connection(partial(self._finish, message, verdict))

    def _run_on_connection(self, work: Callable[[], None]) -> None:
        self._connection.add_callback_threadsafe(work)

    # --- in the publisher's thread

    def _on_confirm(self, message: ReceivedMessage, verdict: Verdict, is_confirmed: bool) -> None:  # noqa: FBT001
        # If the connection is closed, RabbitMQ redelivers the message.
        with suppress(ConnectionWrongStateError):
            self._run_on_connection(
                partial(self._acknowledge_or_hold, message, verdict, is_confirmed=is_confirmed)
            )

    # --- in the connection's thread

    def _finish_batch(self, batch: list[ReceivedMessage], unserved: list[ReceivedMessage]) -> None:
        """Acknowledge the served messages and deliver the others one by one."""
        del self._posts[batch[0].tag]
        tags = {message.tag for message in unserved}
        served = [message for message in batch if message.tag not in tags]
        if served:
            DELIVERIES.inc(served[0].queue, SERVED.name, by=len(served))
            self._acknowledge(served)
        for message in unserved:
            self._pool.submit(self._deliver_alone, message)

    def _finish(self, message: ReceivedMessage, verdict: Verdict) -> None:
        """Acknowledge a message that was served, else copy it to its auxiliary queue first."""
        self._posts.pop(message.tag, None)
        DELIVERIES.inc(message.queue, verdict.name)
        if verdict.is_served:
            self._acknowledge([message])
        else:
            done = partial(self._on_confirm, message, verdict)
            self._auxiliary.put(message.copy(verdict), done)

    def _acknowledge_or_hold(
        self, message: ReceivedMessage, verdict: Verdict, *, is_confirmed: bool
    ) -> None:
        """Acknowledge a message whose copy was confirmed by its auxiliary queue, else hold it."""
        if is_confirmed:
            message.log_moved(verdict)
            self._acknowledge([message])
        else:
            self._hold(message, verdict)

    def _hold(self, message: ReceivedMessage, verdict: Verdict) -> None:
        """Keep a message unacknowledged until its delay is over, then deliver it again."""
        self._held.add(message.tag)
        self._connection.call_later(message.delay_s, partial(self._redeliver, message))
        logger.warning(
            "message held, its auxiliary queue is unavailable",
            target=message.target_queue(verdict),
            reason=verdict.reason,
            retry_in_s=message.delay_s,
            **message.log_fields(),
        )

    def _redeliver(self, message: ReceivedMessage) -> None:
        """Queue a held message for the next `post`, with its next delivery attempt counted."""
        self._held.discard(message.tag)
        self._waiting.append(message.for_redelivery())

    def _acknowledge(self, messages: Sequence[ReceivedMessage]) -> None:
        """Acknowledge tags below the lowest one that stays open in one frame, the others singly."""
        tags = sorted(message.tag for message in messages)  # a held one comes after newer ones
        self._unacknowledged.difference_update(tags)
        first_unacknowledged = min(self._unacknowledged, default=math.inf)
        count = bisect_left(tags, first_unacknowledged)
        if count:
            self._channel.basic_ack(tags[count - 1], multiple=True)
        for tag in tags[count:]:
            self._channel.basic_ack(tag)

"""Publishing with confirms and `mandatory`, from a loop that keeps the connection.

A connection belongs to one thread (pika is not thread-safe). Where requests go by turns it lives
on their loop: a thread beside would have to win the interpreter from them for each confirm. Else it
has a loop of its own, on a thread. Others hand it messages; it publishes what has gathered, and
learns of the confirms in batches.
"""

import asyncio
import random
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from pika.exceptions import (
    ChannelClosedByBroker,
    ShortStringTooLong,
    UnsupportedAMQPFieldException,
)

from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.rabbitmq.connection import Message, Queue, parameters
from leadline.runtime.rabbitmq.corked_connection import LotConnection
from leadline.runtime.secrets import Address
from leadline.runtime.telemetry import metrics, tracing
from leadline.runtime.telemetry.tracing import Span

log = structlog.get_logger()

PUBLISHED = metrics.Counter(
    "leadline_messages_published_total",
    "Messages by what the broker made of them",
    "result",
    known=("confirmed", "failed"),
)
LAG = metrics.Gauge(
    "leadline_publisher_messages", "Messages on their way to the broker", "state"
)  # waiting, unconfirmed

#: Without a confirm by then a message counts as not published; the ledger knows what is owed.
CONFIRM_TIMEOUT_S = 5.0
MAX_WAITING = 10_000
#: More are not handed to pika before the broker has confirmed some: it would keep them in memory.
MAX_UNCONFIRMED = 1000
#: The first message after a pause leaves at once; under load the next ones gather this long: they
#: share the system calls, and the broker, too, writes and confirms in one go what comes together.
LINGER_S = 0.02
_TICK_S = 0.5
_BACKOFF_S = (0.1, 0.5, 1, 2, 5)
_NOT_ENCODABLE = (ShortStringTooLong, UnsupportedAMQPFieldException, UnicodeError, struct.error)
#: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
_ACCESS_REFUSED, _NOT_FOUND = 403, 404

Done = Callable[[bool], None]
#: Tells a returned message from others: one with the same queue, id and body would do as well.
_Key = tuple[str, str | None, bytes]


@dataclass(slots=True)
class _Item:
    message: Message
    done: Done
    deadline: float


class Publisher:
    """Hands messages to RabbitMQ and says of each whether the broker has taken it over.

    `offer` never blocks and never fails: without the broker a message is reported as not sent.
    """

    def __init__(
        self, address: Address, queues: Iterable[Queue], *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._address = address
        parameters(secrets.now(address))  # what makes no sense is told at once
        queues = tuple(queues)
        self._queues = [one for one in queues if not one.is_auxiliary]
        self._auxiliary = [one for one in queues if one.is_auxiliary]
        #: Each of our queues has an exchange of its name; others are reached by the default one.
        self._exchanges = {one.name for one in self._queues}
        self._must_declare = False
        self._max_waiting = max_waiting
        self._waiting: deque[_Item] = deque()
        self._unconfirmed: dict[int, _Item] = {}
        self._returned: set[_Key] = set()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0  # its number, where it is not ours
        self._thread: threading.Thread | None = None
        self._context = Context()  # ours: no request's, whose messages are not all that we send
        self._connection: LotConnection | None = None
        self._lost: asyncio.Future[None] | None = None
        self._channel: Any = None
        self._ready = False
        self._drain_due = False
        self._drained_at = float("-inf")
        self._next_tag = 1
        self._failures = 0
        self._wake = asyncio.Event()
        self._closing = False
        _publishers.add(self)

    # --- for any thread

    def offer(self, message: Message, done: Done, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """Publish soon; `done(True)` after the confirm, `done(False)` if that can't be said."""
        self._offer([_Item(message, done, time.monotonic() + timeout_s)])

    def _offer(self, items: list[_Item]) -> None:
        if tracing.is_on():
            for item in items:
                _trace(item)
        with self._lock:  # who closes takes it too: the loop lives as long as it takes anything
            room = 0 if self._closing else max(0, self._max_waiting - len(self._waiting))
            if items[:room]:
                self._waiting.extend(items[:room])
                self._call()
        self._fail(items[room:])

    def _call(self) -> None:
        """Have the loop look at what waits."""
        loop = self._loop = self._loop or self._started()
        if self._connection is None:
            self._soon(loop, self._wake.set)
        elif self._ready and not self._drain_due:
            self._drain_due = True
            self._soon(loop, self._drain_soon)

    def _started(self) -> asyncio.AbstractEventLoop:
        """The loop on which we live from now on: that of whose turn it is, else one of our own."""
        if greenlets.is_turn():
            self._loop_thread = threading.get_ident()
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=self._context)
            return loop
        loop = asyncio.new_event_loop()
        self._task = loop.create_task(self._run(), context=self._context)
        self._thread = threading.Thread(
            target=self._live, args=[loop], name="publisher", daemon=True
        )
        self._thread.start()
        return loop

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._task)
        # A connection that was just being made, too, ends before its loop does.
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.close()

    def _soon(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        if threading.get_ident() == self._loop_thread:
            loop.call_soon(callback, context=self._context)
        else:
            loop.call_soon_threadsafe(callback, context=self._context)

    def publish(
        self, messages: list[Message], *, timeout_s: float = CONFIRM_TIMEOUT_S
    ) -> list[bool]:
        """Publish all and wait; for each whether the broker confirmed it in time.

        Not in a turn: the confirms would wait for us.
        """
        outcomes = [False] * len(messages)
        left = threading.Semaphore(0)

        def recorder(index: int) -> Done:
            def record(confirmed: bool) -> None:  # noqa: FBT001
                outcomes[index] = confirmed
                left.release()

            return record

        until = time.monotonic() + timeout_s
        self._offer([_Item(one, recorder(index), until) for index, one in enumerate(messages)])
        deadline = until + 2 * _TICK_S
        for _ in messages:
            left.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return list(outcomes)

    def lag(self) -> tuple[int, int]:
        """How many messages wait to be sent, and how many for their confirm."""
        return len(self._waiting), len(self._unconfirmed)

    def close(self, timeout_s: float = 3.0) -> None:
        """Wait for what is on its way, as long as `timeout_s`, then hang up."""
        loop = self._loop
        if loop is None or loop.is_closed():
            self._closing = True
        elif self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(timeout_s), loop)
            self._thread.join(2 * timeout_s)
        elif not loop.is_running():  # the server has ended
            loop.run_until_complete(self._end(timeout_s))
            loop.run_until_complete(asyncio.wait([self._task], timeout=timeout_s))

    # --- on the loop

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            if self._closing:
                break
            try:
                await self._serve_connection()
            except Exception:  # nobody above could tell: without us nothing is published any more
                log.exception("publisher failed")
            self._fail(list(self._unconfirmed.values()))
            self._unconfirmed.clear()
            if not self._waiting:
                self._wake.clear()
                continue
            await self._back_off()
        self._fail(list(self._waiting))
        self._waiting.clear()

    async def _end(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._waiting or self._unconfirmed:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._hang_up()

    async def _serve_connection(self) -> None:
        """Connect and publish until the connection ends."""
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        self._connection = LotConnection(
            parameters(secrets.now(self._address)),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=loop,
        )
        ticking = loop.create_task(self._tick())
        try:
            await self._lost
        finally:
            ticking.cancel()
            self._ready = self._drain_due = False
            self._connection = None

    async def _back_off(self) -> None:
        """Wait with jitter, while messages whose time is up are told so."""
        step = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        until = time.monotonic() + step * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        while time.monotonic() < until and not self._closing:
            self._expire()
            await asyncio.sleep(0.05)

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)
        for queue in self._auxiliary if self._must_declare else ():
            connection.channel(on_open_callback=partial(_declare_auxiliary, queue))

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        self._next_tag = 1
        self._returned.clear()  # their confirms went down with the channel before
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        self._declare()
        # Answers come in the order of the questions: this one when all is there.
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _declare(self) -> None:
        """Our queues and their exchanges where they are missing; else only ask for them.

        A login that may do no more than publish can't declare: it waits for the connector.
        """
        for queue in self._queues:
            if self._must_declare:
                self._channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
                self._channel.exchange_declare(queue.name, "direct", durable=True)
                self._channel.queue_bind(queue.name, queue.name, routing_key=queue.name)
            else:
                self._channel.queue_declare(queue.name, passive=True)
                self._channel.exchange_declare(queue.name, passive=True)

    def _on_ready(self, _frame: object) -> None:
        self._ready = True
        self._must_declare = False
        self._drain()

    def _drain_soon(self) -> None:
        wait_s = self._drained_at + LINGER_S - time.monotonic()
        asyncio.get_running_loop().call_later(max(0.0, wait_s), self._drain)

    def _drain(self) -> None:
        self._drain_due = False
        self._drained_at = time.monotonic()
        if self._connection is not None:
            with self._connection.as_one():
                self._publish_waiting()

    def _publish_waiting(self) -> None:
        """As many as may be unconfirmed at once."""
        while self._waiting and self._ready and len(self._unconfirmed) < MAX_UNCONFIRMED:
            item = self._waiting.popleft()
            if item.deadline < time.monotonic():
                self._fail([item])
                continue
            self._unconfirmed[self._next_tag] = item
            self._next_tag += 1
            try:
                # confirm and mandatory: without both an unroutable message vanishes
                self._channel.basic_publish(
                    item.message.queue if item.message.queue in self._exchanges else "",
                    item.message.queue,
                    item.message.body,
                    item.message.properties(),
                    mandatory=True,
                )
            except _NOT_ENCODABLE:
                # Nothing was sent: the broker goes on counting from here.
                self._next_tag -= 1
                log.error("message can't be encoded", message_id=item.message.message_id)  # noqa: TRY400
                self._fail([self._unconfirmed.pop(self._next_tag)])

    def _on_confirm(self, frame: Any) -> None:
        acked = type(frame.method).__name__ == "Ack"
        tag = frame.method.delivery_tag
        tags = [tag]
        was_full = len(self._unconfirmed) >= MAX_UNCONFIRMED
        if frame.method.multiple:
            tags = [one for one in self._unconfirmed if one <= tag or tag == 0]
        for one in tags:
            item = self._unconfirmed.pop(one, None)
            if item is not None:
                if acked and not self._was_returned(item.message):
                    self._failures = 0
                    PUBLISHED.inc("confirmed")
                    item.done(True)  # noqa: FBT003
                else:
                    self._fail([item])
        if not acked:
            self._renew()
        elif was_full:
            self._drain()

    def _renew(self) -> None:
        """Connect again after a refusal.

        RabbitMQ 3.10 asks the leader that a channel first knew of before it takes a message for a
        quorum queue; where that node has died, the channel refuses each message from then on.
        """
        log.warning("message refused by the broker, connecting again")
        self._ready = False
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _was_returned(self, message: Message) -> bool:
        if not self._returned:
            return False
        key = (message.queue, message.message_id or None, message.body)
        is_returned = key in self._returned
        self._returned.discard(key)
        return is_returned

    def _on_return(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        """The broker has no such queue: declare it anew, the message counts as not published."""
        log.error("message unroutable", queue=method.routing_key, message_id=properties.message_id)
        self._returned.add((method.routing_key, properties.message_id or None, body))
        if method.routing_key in self._exchanges:
            self._must_declare = True
            self._declare()

    def _on_blocked(self, _connection: object, _method: object) -> None:
        log.warning("broker blocked", reason="RabbitMQ is short of memory or disk")
        self._ready = False

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        log.info("broker unblocked")
        self._on_ready(None)

    def _on_channel_closed(self, _channel: object, reason: Exception) -> None:
        # What is missing is declared by the next connection; who may not do that goes on asking.
        self._must_declare = not self._ready and _code(reason) == _NOT_FOUND
        if self._must_declare:
            log.info("queues are missing", reason=str(reason))
        elif not self._closing:
            log.error("channel closed", reason=str(reason))
        self._ready = False
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _on_lost(self, _connection: object, reason: Exception) -> None:
        self._ready = False
        if not self._closing:
            log.warning("no connection to the broker", reason=type(reason).__name__)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._lost is not None:
            greenlets.settle(self._lost)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._expire()
            now = time.monotonic()
            late = [tag for tag, item in self._unconfirmed.items() if item.deadline < now]
            self._fail([self._unconfirmed.pop(tag) for tag in late])
            self._drain()

    def _expire(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0].deadline < now:
            self._fail([self._waiting.popleft()])

    def _fail(self, items: Iterable[_Item]) -> None:
        for item in items:
            PUBLISHED.inc("failed")
            item.done(False)  # noqa: FBT003


def _declare_auxiliary(queue: Queue, channel: Any) -> None:
    """Declare a queue that nothing here is published to, on a channel that may fail."""
    channel.add_on_close_callback(partial(_on_auxiliary_closed, queue))
    channel.queue_declare(
        queue.name,
        durable=True,
        arguments=queue.arguments,
        callback=lambda _frame: channel.close(),
    )


def _on_auxiliary_closed(queue: Queue, _channel: object, reason: Exception) -> None:
    if _code(reason) not in (None, _ACCESS_REFUSED):
        log.error("queue can't be had, publishing goes on", queue=queue.name, reason=str(reason))


def _code(reason: Exception) -> int | None:
    """Why the broker has closed a channel; None where it was not the broker."""
    return reason.reply_code if isinstance(reason, ChannelClosedByBroker) else None


def _trace(item: _Item) -> None:
    """Let the message's way to the broker be a step of its trace, and what follows its children."""
    message, done = item.message, item.done
    parent = message.headers.get("traceparent")
    if parent is None:
        return
    name = f"publish {message.queue}"
    span = Span(name, "PRODUCER", parent, message_id=message.message_id)
    item.message = replace(message, headers={**message.headers, "traceparent": span.traceparent})

    def told(confirmed: bool) -> None:  # noqa: FBT001
        span.end("" if confirmed else "not confirmed")
        done(confirmed)

    item.done = told


def _read_lag() -> None:
    lags = [one.lag() for one in list(_publishers)]
    LAG.set(sum(waiting for waiting, _ in lags), "waiting")
    LAG.set(sum(unconfirmed for _, unconfirmed in lags), "unconfirmed")


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
metrics.read_at_scrape(_read_lag)

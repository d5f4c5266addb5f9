"""Publishing with confirms and `mandatory`, from a loop that keeps the connection.

A connection belongs to one thread (pika is not thread-safe). Where requests go by turns it lives
on their loop: a thread beside would have to win the interpreter from them for each confirm. Else it
has a loop of its own, on a thread. Others hand it messages; it publishes what has gathered, and
learns of the confirms in batches.
"""

import asyncio
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any

import structlog

from leadline.runtime.concurrency import greenlets
from leadline.runtime.rabbitmq import confirms
from leadline.runtime.rabbitmq.confirms import Confirms, Done, Outgoing
from leadline.runtime.rabbitmq.connection import Message, Queue
from leadline.runtime.rabbitmq.publisher_connection import PublisherConnection
from leadline.runtime.secrets import UrlSource
from leadline.runtime.telemetry import metrics

log = structlog.get_logger()

LAG = metrics.Gauge(
    "leadline_publisher_messages", "Messages on their way to the broker", "state"
)  # waiting, unconfirmed

#: Without a confirm by then a message counts as not published; the ledger knows what is owed.
CONFIRM_TIMEOUT_S = 5.0
MAX_WAITING = 10_000
#: The first message after a pause leaves at once; under load the next ones gather this long: they
#: share the system calls, and the broker, too, writes and confirms in one go what comes together.
LINGER_S = 0.02
_TICK_S = 0.5
_BACKOFF_S = (0.1, 0.5, 1, 2, 5)


class Publisher:
    """Hands messages to RabbitMQ and says of each whether the broker has taken it over.

    `offer` never blocks and never fails: without the broker a message is reported as not sent.
    """

    def __init__(
        self, address: UrlSource, queues: Iterable[Queue], *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._confirms = Confirms()
        self._connection = PublisherConnection(
            address,
            queues,
            self._confirms,
            on_ready=self._drain,
            on_confirm=self._on_confirm,
        )
        self._max_waiting = max_waiting
        self._waiting: deque[Outgoing] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0  # its number, where it is not ours
        self._thread: threading.Thread | None = None
        self._context = Context()  # ours: no request's, whose messages are not all that we send
        self._drain_due = False
        self._drained_at = float("-inf")
        self._failures = 0
        self._wake = asyncio.Event()
        self._closing = False
        _publishers.add(self)

    # --- for any thread

    def offer(self, message: Message, done: Done, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """Publish soon; `done(True)` after the confirm, `done(False)` if that can't be said."""
        self._offer([Outgoing(message, done, time.monotonic() + timeout_s)])

    def _offer(self, items: list[Outgoing]) -> None:
        confirms.trace(items)
        with self._lock:  # who closes takes it too: the loop lives as long as it takes anything
            room = 0 if self._closing else max(0, self._max_waiting - len(self._waiting))
            if items[:room]:
                self._waiting.extend(items[:room])
                self._call()
        confirms.fail(items[room:])

    def _call(self) -> None:
        """Have the loop look at what waits."""
        loop = self._loop = self._loop or self._started()
        if not self._connection.exists:
            self._soon(loop, self._wake.set)
        elif self._connection.is_ready and not self._drain_due:
            self._drain_due = True
            self._soon(loop, self._drain_soon)

    def _started(self) -> asyncio.AbstractEventLoop:
        """The loop on which we live from now on: that of whose turn it is, else one of our own."""
        if greenlets.in_greenlet():
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
        self._offer([Outgoing(one, recorder(index), until) for index, one in enumerate(messages)])
        deadline = until + 2 * _TICK_S
        for _ in messages:
            left.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return list(outcomes)

    def lag(self) -> tuple[int, int]:
        """How many messages wait to be sent, and how many for their confirm."""
        return len(self._waiting), len(self._confirms)

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
            self._confirms.fail_all()
            if not self._waiting:
                self._wake.clear()
                continue
            await self._back_off()
        confirms.fail(list(self._waiting))
        self._waiting.clear()

    async def _end(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._waiting or self._confirms:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        with self._lock:
            self._closing = True
        self._wake.set()
        self._connection.end()

    async def _serve_connection(self) -> None:
        """Connect and publish until the connection ends."""
        ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            await self._connection.serve()
        finally:
            ticking.cancel()
            self._drain_due = False

    async def _back_off(self) -> None:
        """Wait with jitter, while messages whose time is up are told so."""
        step = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        until = time.monotonic() + step * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        while time.monotonic() < until and not self._closing:
            self._expire()
            await asyncio.sleep(0.05)

    def _drain_soon(self) -> None:
        wait_s = self._drained_at + LINGER_S - time.monotonic()
        asyncio.get_running_loop().call_later(max(0.0, wait_s), self._drain)

    def _drain(self) -> None:
        self._drain_due = False
        self._drained_at = time.monotonic()
        with self._connection.corked():
            self._publish_waiting()

    def _publish_waiting(self) -> None:
        """As many as may be unconfirmed at once."""
        while self._waiting and self._connection.is_ready and not self._confirms.is_full():
            item = self._waiting.popleft()
            if item.deadline < time.monotonic():
                confirms.fail([item])
                continue
            self._confirms.expect(item)
            if not self._connection.send(item.message):
                confirms.fail([self._confirms.take_back()])

    def _on_confirm(self, frame: Any) -> None:
        was_full = self._confirms.is_full()
        if self._confirms.settle(frame.method):
            self._failures = 0
        if not confirms.is_ack(frame.method):
            self._connection.renew()
        elif was_full:
            self._drain()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._expire()
            self._confirms.expire()
            self._drain()

    def _expire(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0].deadline < now:
            confirms.fail([self._waiting.popleft()])


def _read_lag() -> None:
    lags = [one.lag() for one in list(_publishers)]
    LAG.set(sum(waiting for waiting, _ in lags), "waiting")
    LAG.set(sum(unconfirmed for _, unconfirmed in lags), "unconfirmed")


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
metrics.on_scrape(_read_lag)

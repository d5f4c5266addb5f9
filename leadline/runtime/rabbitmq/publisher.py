"""Publishes with confirms and `mandatory`, from the event loop that owns the connection.

A connection belongs to one thread (pika is not thread-safe). If requests run in greenlets, it is on
their loop: a separate thread would compete with them for the interpreter at each confirm. Otherwise
it has a loop on its own thread. Any thread may offer messages; they are published in batches.
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

#: By state: waiting, or unconfirmed.
LAG = metrics.Gauge("leadline_publisher_messages", "Messages not confirmed yet", "state")

#: After this time without a confirm, a message counts as not published; the ledger has the event.
CONFIRM_TIMEOUT_S = 5.0
#: Maximum number of messages that wait to be sent; further ones count as not published at once.
MAX_WAITING = 10_000
#: Linger: the first message after a pause is sent at once; under load the next ones wait this long,
#: so that they share system calls, and the broker's disk writes and confirms. Unlike in group
#: commit, no batch waits for the last one's confirms, and the second message lingers even if no
#: other follows, since no client waits for it.
LINGER_S = 0.02
#: Interval of a timer that fails messages past their deadline and publishes the waiting ones.
_TIMER_S = 0.5
_BACKOFF_S = (0.1, 0.5, 1, 2, 5)  # waits before reconnecting; the last one repeats


class Publisher:
    """Publishes messages to RabbitMQ and reports for each whether the broker confirmed it.

    `offer` never blocks and never fails: without a broker it reports a message as not published.
    """

    def __init__(
        self, source: UrlSource, queues: Iterable[Queue], *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._confirms = Confirms()
        self._connection = PublisherConnection(
            source,
            queues,
            self._confirms,
            on_ready=self._drain,
            on_confirm=self._on_confirm,
        )
        self._max_waiting = max_waiting
        self._waiting: deque[Outgoing] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0  # its id, if requests run on the loop; else 0
        self._thread: threading.Thread | None = None
        self._context = Context()  # not that of a request, since all requests share the publisher
        self._is_drain_scheduled = False
        self._last_drain_at = self._last_confirm_at = float("-inf")
        self._failures = 0
        self._wake = asyncio.Event()
        self._is_closing = False
        _publishers.add(self)

    # --- for any thread

    def offer(self, message: Message, done: Done, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """Queue a message; calls `done(True)` after its confirm, else `done(False)`."""
        self._offer([Outgoing(message, done, time.monotonic() + timeout_s)])

    def _offer(self, items: list[Outgoing]) -> None:
        confirms.start_spans(items)
        with self._lock:  # shared with `_flush_and_close`: a closed loop must accept no message
            room = 0 if self._is_closing else max(0, self._max_waiting - len(self._waiting))
            if items[:room]:
                self._waiting.extend(items[:room])
                self._notify_loop()
        confirms.fail(items[room:])

    def _notify_loop(self) -> None:
        """Have the loop publish the waiting messages."""
        loop = self._loop = self._loop or self._start_loop()
        if not self._connection.is_started:
            self._call_soon(loop, self._wake.set)
        elif self._connection.is_ready and not self._is_drain_scheduled:
            self._is_drain_scheduled = True
            self._call_soon(loop, self._schedule_drain)

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        """Start on the loop of the current greenlet, else on a loop and thread of our own."""
        if greenlets.in_greenlet():
            self._loop_thread = threading.get_ident()
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=self._context)
            return loop
        loop = asyncio.new_event_loop()
        self._task = loop.create_task(self._run(), context=self._context)
        self._thread = threading.Thread(
            target=self._run_loop, args=[loop], name="publisher", daemon=True
        )
        self._thread.start()
        return loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._task)
        # A connection that is still opening must end before its loop does.
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()

    def _call_soon(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        if threading.get_ident() == self._loop_thread:
            loop.call_soon(callback, context=self._context)
        else:
            loop.call_soon_threadsafe(callback, context=self._context)

    def publish(
        self, messages: list[Message], *, timeout_s: float = CONFIRM_TIMEOUT_S
    ) -> list[bool]:
        """Publish all messages and wait; returns for each whether the broker confirmed it in time.

        Not in a greenlet: it would block the loop that receives the confirms.
        """
        results = [False] * len(messages)
        completed = threading.Semaphore(0)

        def recorder(index: int) -> Done:
            def record(confirmed: bool) -> None:  # noqa: FBT001
                results[index] = confirmed
                completed.release()

            return record

        until = time.monotonic() + timeout_s
        self._offer(
            [Outgoing(message, recorder(index), until) for index, message in enumerate(messages)]
        )
        deadline = until + 2 * _TIMER_S
        for _ in messages:
            completed.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return list(results)

    def lag(self) -> tuple[int, int]:
        """The number of messages that wait to be sent, and of unconfirmed ones."""
        return len(self._waiting), len(self._confirms)

    def close(self, timeout_s: float = 3.0) -> None:
        """Wait up to `timeout_s` for messages in flight, then close the connection."""
        loop = self._loop
        if loop is None or loop.is_closed():
            self._is_closing = True
        elif self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._flush_and_close(timeout_s), loop)
            self._thread.join(2 * timeout_s)
        elif not loop.is_running():  # the server has stopped
            loop.run_until_complete(self._flush_and_close(timeout_s))
            loop.run_until_complete(asyncio.wait([self._task], timeout=timeout_s))

    # --- on the loop

    async def _run(self) -> None:
        while not self._is_closing:
            await self._wake.wait()
            if self._is_closing:
                break
            try:
                await self._run_connection()
            except Exception:  # the edge of the task: an error must not end all publishing
                log.exception("publisher failed")
            self._confirms.fail_all()
            if not self._waiting:
                self._wake.clear()
                continue
            await self._back_off()
        confirms.fail(list(self._waiting))
        self._waiting.clear()

    async def _flush_and_close(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._waiting or self._confirms:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        with self._lock:
            self._is_closing = True
        self._wake.set()
        self._connection.close()

    async def _run_connection(self) -> None:
        """Connect and publish until the connection is lost or closed."""
        self._last_confirm_at = time.monotonic()
        timer = asyncio.get_running_loop().create_task(self._run_timer())
        try:
            await self._connection.run_until_lost()
        finally:
            timer.cancel()
            self._is_drain_scheduled = False

    async def _back_off(self) -> None:
        """Wait with jitter; meanwhile fail messages past their deadline."""
        step = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        until = time.monotonic() + step * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        while time.monotonic() < until and not self._is_closing:
            self._expire()
            await asyncio.sleep(0.05)

    def _schedule_drain(self) -> None:
        wait_s = self._last_drain_at + LINGER_S - time.monotonic()
        asyncio.get_running_loop().call_later(max(0.0, wait_s), self._drain)

    def _drain(self) -> None:
        self._is_drain_scheduled = False
        self._last_drain_at = time.monotonic()
        with self._connection.corked():
            self._publish_waiting()

    def _publish_waiting(self) -> None:
        """Publish waiting messages, while no more are unconfirmed than allowed."""
        while self._waiting and self._connection.is_ready and not self._confirms.is_full():
            item = self._waiting.popleft()
            if item.deadline < time.monotonic():
                confirms.fail([item])
                continue
            self._confirms.track(item)
            if not self._connection.send(item.message):
                confirms.fail([self._confirms.untrack_last()])

    def _on_confirm(self, frame: Any) -> None:
        self._last_confirm_at = time.monotonic()
        was_full = self._confirms.is_full()
        if self._confirms.resolve(frame.method):
            self._failures = 0
        if not confirms.is_ack(frame.method):
            self._connection.reconnect()
        elif was_full:
            self._drain()

    async def _run_timer(self) -> None:
        while True:
            await asyncio.sleep(_TIMER_S)
            self._expire()
            if self._confirms.expire():
                self._leave_if_silent()
            self._drain()

    def _leave_if_silent(self) -> None:
        """Leave a node that neither confirms nor closes the connection, as one that is cut off."""
        if time.monotonic() - self._last_confirm_at >= CONFIRM_TIMEOUT_S:
            self._connection.abandon()

    def _expire(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0].deadline < now:
            confirms.fail([self._waiting.popleft()])


def _set_lag() -> None:
    lags = [publisher.lag() for publisher in list(_publishers)]
    LAG.set(sum(waiting for waiting, _ in lags), "waiting")
    LAG.set(sum(unconfirmed for _, unconfirmed in lags), "unconfirmed")


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
metrics.on_scrape(_set_lag)

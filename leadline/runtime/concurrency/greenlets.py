"""Runs each request in a greenlet on the event loop; I/O waits yield to other requests.

Threads of one interpreter contend for it: with eight of them under load, each request cost eight
thread switches (measured). So a request runs as a greenlet on the thread of the server's loop, and
its code still reads from top to bottom. Every wait goes through this module. Outside of a greenlet,
as in a command or a worker, the same calls simply block.
"""

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

from leadline.process import per_process

T = TypeVar("T")

#: How many idle greenlets each thread keeps for the next requests.
IDLE_GREENLETS = 64


def threads() -> int:
    """Maximum number of requests of a process that wait for I/O; each may hold a connection."""
    return int(os.environ.get("THREADS", "8"))


def cooperative(handler: T) -> T:
    """Mark a handler that waits only through this module: its requests may run in greenlets."""
    handler.is_cooperative = True  # type: ignore[attr-defined]
    return handler


def is_cooperative(handler: object) -> bool:
    """Whether this handler is marked as cooperative."""
    return getattr(handler, "is_cooperative", False)


async def spawn(request: Callable[[], T]) -> T:
    """Run this request in a greenlet; return its result, or raise its error."""
    worker = _idle.greenlets.pop() if _idle.greenlets else greenlet(_run_requests)
    # Until it completes, the request yields the futures that it waits for.
    yielded: Any = worker.switch(request)
    while type(yielded) is not _Completion:
        try:
            result = await yielded
        except BaseException as error:  # noqa: BLE001 - the request must see a cancellation, too
            yielded = worker.throw(error)
        else:
            yielded = worker.switch(result)
    if len(_idle.greenlets) < IDLE_GREENLETS:
        _idle.greenlets.append(worker)
    returned, failure = yielded.result, yielded.error
    yielded.result = yielded.error = None  # an idle greenlet must not keep a response alive
    if failure is not None:
        raise failure
    return cast("T", returned)


@dataclass(slots=True)
class _Completion:
    """The result or the error of a request."""

    result: Any = None
    error: Exception | None = None


def _run_requests(request: Callable[[], Any] | None) -> None:
    """Run one request after another; between two of them the greenlet is idle."""
    while request is not None:
        try:
            completion = _Completion(Context().run(request))
        except Exception as error:  # noqa: BLE001 - raised by `spawn`
            completion = _Completion(error=error)
        request = None  # an idle greenlet must not keep a large body alive
        request = getcurrent().parent.switch(completion)


class _IdleGreenlets(threading.local):
    """Idle greenlets of this thread: creating one costs three system calls."""

    def __init__(self) -> None:
        self.greenlets: list[greenlet] = []


_idle = _IdleGreenlets()


def in_greenlet() -> bool:
    """Whether the caller runs in a greenlet, where blocking would stop every other request."""
    return getcurrent().parent is not None


def await_(future: asyncio.Future[T]) -> T:
    """In a greenlet, wait for a future of the loop; return its result, or raise its error."""
    result: T = getcurrent().parent.switch(future)
    return result


def run_in_thread(blocking: Callable[[], T]) -> T:
    """Run a blocking call, in a greenlet on a thread of the pool; return its result."""
    if not in_greenlet():
        return blocking()
    return await_(asyncio.get_running_loop().run_in_executor(_thread_pool(), blocking))


def wait_readable(connection: socket.socket, timeout_s: float) -> None:
    """In a greenlet, wait until there is something to read.

    Raises:
        TimeoutError: nothing arrived in time.
    """
    loop = asyncio.get_running_loop()
    _wait_ready(timeout_s, connection.fileno(), loop.add_reader, loop.remove_reader)


def wait_writable(connection: socket.socket, timeout_s: float) -> None:
    """In a greenlet, wait until there is room to write.

    Raises:
        TimeoutError: there was none in time.
    """
    loop = asyncio.get_running_loop()
    _wait_ready(timeout_s, connection.fileno(), loop.add_writer, loop.remove_writer)


def _wait_ready(
    timeout_s: float, fileno: int, add: Callable[..., object], remove: Callable[[int], object]
) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add(fileno, resolve, ready)
    timeout = loop.call_later(timeout_s, resolve, ready, None, TimeoutError())
    try:
        await_(ready)
    finally:
        remove(fileno)
        timeout.cancel()


def resolve(
    future: asyncio.Future[Any], result: object = None, error: BaseException | None = None
) -> bool:
    """Complete this future; False if it is done already, as after a cancelled request."""
    if future.done():
        return False
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
    return True


class Semaphore:
    """Admits `limit` greenlets at a time, the others in order of arrival.

    Outside of a greenlet it has no effect.
    """

    def __init__(self, limit: int) -> None:
        # Both are used on the loop's thread only.
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __enter__(self) -> None:
        if not in_greenlet():
            return
        if self._free:
            self._free -= 1
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(admitted)
        await_(admitted)

    def __exit__(self, *_: object) -> None:
        if not in_greenlet():
            return
        # The place passes to the first that still waits.
        while self._waiting:
            if resolve(self._waiting.popleft()):
                return
        self._free += 1


@per_process
def _thread_pool() -> ThreadPoolExecutor:
    """This process's threads for blocking calls."""
    return ThreadPoolExecutor(threads(), "blocking")

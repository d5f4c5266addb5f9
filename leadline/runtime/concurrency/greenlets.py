"""Requests by turns on one thread: one that waits gives way to the others.

Threads of one interpreter get in each other's way: with eight of them under load each request cost
eight changes of thread (measured). So a request is a greenlet on the thread of the server's loop,
and reads from top to bottom as before. Where it waits, it says so here; outside of a turn, as in a
command or a worker, the same calls simply block.
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
from functools import cache
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")

#: How many requests of a process may be at what they wait for; each may hold a connection.
THREADS = int(os.environ.get("THREADS", "8"))

#: So many turns are kept for the next requests.
AT_REST = 64


def by_turns(door: T) -> T:
    """Mark a door that waits nowhere but here, so that its requests may go by turns."""
    door.goes_by_turns = True  # type: ignore[attr-defined]
    return door


def goes_by_turns(door: object) -> bool:
    """Whether this door is marked so."""
    return getattr(door, "goes_by_turns", False)


async def take(request: Callable[[], T]) -> T:
    """What this request comes to, by turns with others; raises what it raises."""
    turn = _resting.turns.pop() if _resting.turns else greenlet(_serve)
    came_to: Any = turn.switch(request)
    while type(came_to) is not _End:
        try:
            found = await came_to
        except BaseException as error:  # noqa: BLE001 - the request's own affair, cancelled or not
            came_to = turn.throw(error)
        else:
            came_to = turn.switch(found)
    if len(_resting.turns) < AT_REST:
        _resting.turns.append(turn)
    result, failure = came_to.result, came_to.error
    came_to.result = came_to.error = None  # a turn at rest keeps nothing
    if failure is not None:
        raise failure
    return cast("T", result)


@dataclass(slots=True)
class _End:
    """How a request ended."""

    result: Any = None
    error: Exception | None = None


def _serve(request: Callable[[], Any] | None) -> None:
    """One request after the other; between two of them the turn rests."""
    while request is not None:
        try:
            end = _End(Context().run(request))
        except Exception as error:  # noqa: BLE001 - the request's own affair
            end = _End(error=error)
        request = None  # a body may be large
        request = getcurrent().parent.switch(end)


class _Resting(threading.local):
    """Turns that have no request just now, of this thread: making one costs three system calls."""

    def __init__(self) -> None:
        self.turns: list[greenlet] = []


_resting = _Resting()


def is_turn() -> bool:
    """Whether this is a turn: whatever blocks here holds up every other request."""
    return getcurrent().parent is not None


def wait(future: asyncio.Future[T]) -> T:
    """The result of this future of the loop, in a turn; raises what it raises."""
    found: T = getcurrent().parent.switch(future)
    return found


def aside(blocking: Callable[[], T]) -> T:
    """What this call returns or raises; in a turn it runs on a thread, and others go on."""
    if not is_turn():
        return blocking()
    return wait(asyncio.get_running_loop().run_in_executor(_threads(), blocking))


def wait_readable(connection: socket.socket, timeout_s: float) -> None:
    """In a turn, let others go on until there is something to read.

    Raises:
        TimeoutError: nothing came in this time.
    """
    loop = asyncio.get_running_loop()
    _wait_within(timeout_s, connection.fileno(), loop.add_reader, loop.remove_reader)


def wait_writable(connection: socket.socket, timeout_s: float) -> None:
    """In a turn, let others go on until there is room to write.

    Raises:
        TimeoutError: there was none in this time.
    """
    loop = asyncio.get_running_loop()
    _wait_within(timeout_s, connection.fileno(), loop.add_writer, loop.remove_writer)


def _wait_within(
    timeout_s: float, number: int, add: Callable[..., object], remove: Callable[[int], object]
) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add(number, settle, ready)
    late = loop.call_later(timeout_s, settle, ready, None, TimeoutError())
    try:
        wait(ready)
    finally:
        remove(number)
        late.cancel()


def settle(
    future: asyncio.Future[Any], result: object = None, error: BaseException | None = None
) -> bool:
    """End this future so; False where it has ended already, as one whose request was cancelled."""
    if future.done():
        return False
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
    return True


class Seats:
    """As many turns at a time, the others in order after them; outside of a turn nobody waits."""

    def __init__(self, seats: int) -> None:
        self._free = seats  # all of it is touched on the loop's thread only
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __enter__(self) -> None:
        if not is_turn():
            return
        if self._free:
            self._free -= 1
            return
        seat: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(seat)
        wait(seat)

    def __exit__(self, *_: object) -> None:
        if not is_turn():
            return
        while self._waiting:
            if settle(self._waiting.popleft()):
                return
        self._free += 1


@cache
def _threads() -> ThreadPoolExecutor:
    """This process's threads for what blocks."""
    return ThreadPoolExecutor(THREADS, "aside")

"""Requests by turns on one thread: one that waits gives way to the others.

Threads of one interpreter get in each other's way: with eight of them under load each request cost
eight changes of thread (measured). So a request is a greenlet on the thread of the server's loop,
and reads from top to bottom as before. Where it waits, it says so here; outside of a turn, as in a
command or a worker, the same calls simply block.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

#: How many requests a process may have at what blocks; each of them may hold a connection.
THREADS = int(os.environ.get("THREADS", "8"))


def by_turns(door: T) -> T:
    """Mark a door that waits nowhere but here, so that its requests may go by turns."""
    door.goes_by_turns = True  # type: ignore[attr-defined]
    return door


def goes_by_turns(door: object) -> bool:
    """Whether this door is marked so."""
    return getattr(door, "goes_by_turns", False)


async def take(request: Callable[[], T]) -> T:
    """What this request comes to, by turns with others; raises what it raises."""
    turn = greenlet(request)
    came_to: Any = turn.switch()
    while not turn.dead:
        try:
            found = await came_to
        except Exception as error:  # noqa: BLE001 - the request's own affair
            came_to = turn.throw(error)
        else:
            came_to = turn.switch(found)
    result: T = came_to
    return result


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


@cache
def _threads() -> ThreadPoolExecutor:
    """This process's threads for what blocks: all but the one on which groups are served."""
    return ThreadPoolExecutor(max(1, THREADS - 1), "aside")

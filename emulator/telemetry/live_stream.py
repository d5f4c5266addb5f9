"""Live updates of the board: server-sent events to every open page."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Updates that may wait for one page; with more, the page reloads.
_QUEUE_MAX = 2000
#: Pages that may be open at once.
SUBSCRIBERS_MAX = 64


class LiveStream:
    """Sends updates to all subscribers; one that falls behind has to reload."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[str]] = set()

    @property
    def has_subscribers(self) -> bool:
        """Whether any page is open."""
        return bool(self._subscribers)

    @property
    def is_full(self) -> bool:
        """Whether no more pages may open."""
        return len(self._subscribers) >= SUBSCRIBERS_MAX

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """A queue of updates, for as long as the context lasts."""
        queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE_MAX)
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send an update to all subscribers."""
        message = f"event: {event}\ndata: {json.dumps(data)}\n\n"
        for queue in self._subscribers:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait("event: reset\ndata: {}\n\n")
            else:
                queue.put_nowait(message)

"""Live news for the board: server-sent events to every open page."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST_QUEUE = 2000
#: Pages that may be open at once.
LISTENERS_MAX = 64


class Stream:
    """Sends news to all listeners; one that cannot keep up is told to load afresh."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()

    @property
    def has_listeners(self) -> bool:
        """Whether anyone is looking."""
        return bool(self._listeners)

    @property
    def is_full(self) -> bool:
        """Whether no more can look."""
        return len(self._listeners) >= LISTENERS_MAX

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[str]]:
        """A queue of news, for as long as the context lasts."""
        queue: asyncio.Queue[str] = asyncio.Queue(_LONGEST_QUEUE)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Tell all listeners."""
        message = f"event: {event}\ndata: {json.dumps(data)}\n\n"
        for queue in self._listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait("event: reset\ndata: {}\n\n")
            else:
                queue.put_nowait(message)

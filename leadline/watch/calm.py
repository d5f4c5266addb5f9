"""A figure that many ask for, and that is asked of a server only now and then."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Figure = TypeVar("Figure")

#: A figure that took so long is kept this many times as long: asking takes 5 % of a server at most.
REST = 20
LONGEST_S = 60.0


class Calm(Generic[Figure]):
    """Keeps the last answer for a while, the longer the more it cost."""

    def __init__(self, ask: Callable[[], Figure], at_least_s: float) -> None:
        self._ask = ask
        self._at_least_s = at_least_s
        self._lock = threading.Lock()
        self._last: tuple[Figure] | None = None
        self._fresh_until = 0.0

    def figure(self) -> Figure:
        """The figure, if need be as it was a moment ago; raises what asking raises."""
        last = self._last
        if last is not None and time.monotonic() < self._fresh_until:
            return last[0]
        # While one asks, the others are content with what was before.
        if not self._lock.acquire(blocking=last is None):
            assert last is not None  # noqa: S101 - else it had waited
            return last[0]
        try:
            if self._last is None or time.monotonic() >= self._fresh_until:
                self._renew()
            return self._last[0]  # type: ignore[index]  # just renewed
        finally:
            self._lock.release()

    def forget(self) -> None:
        """The next one who asks shall see what has just been done."""
        self._fresh_until = 0.0

    def _renew(self) -> None:
        began = time.monotonic()
        self._last = (self._ask(),)
        now = time.monotonic()
        self._fresh_until = now + min(LONGEST_S, max(self._at_least_s, REST * (now - began)))

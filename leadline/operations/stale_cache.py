"""A figure that many ask for, and that is asked of a server only now and then."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

Figure = TypeVar("Figure")

#: A figure that took so long is kept this many times as long: asking takes 5 % of a server at most.
REST = 20
LONGEST_S = 60.0
#: Whoever would wait longer for a new figure gets the last one.
PATIENCE_S = 0.1


class Calm(Generic[Figure]):
    """Keeps the last answer for a while, the longer the more it cost."""

    def __init__(self, ask: Callable[[], Figure], at_least_s: float) -> None:
        self._ask = ask
        self._at_least_s = at_least_s
        self._asker = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._last: tuple[Figure] | None = None
        self._fresh_until = 0.0
        self._pending: Future[Figure] | None = None
        self._orders = 0

    def figure(self) -> Figure:
        """The figure, if need be as it was a moment ago; raises what asking raises."""
        with self._lock:
            last = self._last
            if last is not None and time.monotonic() < self._fresh_until:
                return last[0]
            if self._pending is None:
                self._pending = self._asker.submit(self._renew, self._orders)
            pending = self._pending
        if last is not None and not wait([pending], PATIENCE_S).done:
            return last[0]
        return pending.result()

    def forget(self) -> None:
        """The next one who asks shall see what has just been done."""
        with self._lock:
            self._orders += 1
            self._last = self._pending = None

    def _renew(self, orders: int) -> Figure:
        began = time.monotonic()
        figure: tuple[Figure] | None = None
        try:
            figure = (self._ask(),)
            return figure[0]
        finally:
            now = time.monotonic()
            with self._lock:
                if orders == self._orders:
                    self._pending = None
                    self._last = figure or self._last
                    rest_s = max(self._at_least_s, REST * (now - began))
                    self._fresh_until = now + min(LONGEST_S, rest_s) if figure else 0.0

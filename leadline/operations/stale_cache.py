"""Stale-while-revalidate: a cache for one value that is costly to load."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: A value stays fresh for this many times its load time, so that polling costs at most 5 %.
COST_FACTOR = 20
MAX_FRESH_S = 60.0
#: A caller that would wait longer for a new value gets the stale one.
MAX_WAIT_S = 0.1


class StaleCache(Generic[Value]):
    """Caches the last value, for longer if it took longer to load; thread-safe."""

    def __init__(self, load: Callable[[], Value], min_fresh_s: float) -> None:
        self._load = load
        self._min_fresh_s = min_fresh_s
        self._executor = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        #: In a tuple: the value itself may be None.
        self._last: tuple[Value] | None = None
        self._fresh_until = 0.0
        self._pending: Future[Value] | None = None
        #: Grows with each `invalidate`: a load begun before is of an earlier generation.
        self._generation = 0

    def get(self) -> Value:
        """The value, possibly stale; raises what loading raises."""
        with self._lock:
            cached = self._last
            if cached is not None and time.monotonic() < self._fresh_until:
                return cached[0]
            if self._pending is None:
                self._pending = self._executor.submit(self._refresh, self._generation)
            pending = self._pending
        if cached is not None and not wait([pending], MAX_WAIT_S).done:
            return cached[0]
        return pending.result()

    def invalidate(self) -> None:
        """Drop the value and any load in progress: the next `get` loads it."""
        with self._lock:
            self._generation += 1
            self._last = self._pending = None

    def _refresh(self, generation: int) -> Value:
        started_at = time.monotonic()
        value: tuple[Value] | None = None
        try:
            value = (self._load(),)
            return value[0]
        finally:
            now = time.monotonic()
            with self._lock:
                if generation == self._generation:
                    self._pending = None
                    self._last = value or self._last
                    fresh_s = max(self._min_fresh_s, COST_FACTOR * (now - started_at))
                    self._fresh_until = now + min(MAX_FRESH_S, fresh_s) if value else 0.0

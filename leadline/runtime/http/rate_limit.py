"""How fast a key may write: a token bucket for each caller, in this process's memory.

A limit counts for each serving process: with WORKERS x replicas of a function a key gets so many
times as much. It keeps one client from starving the others; it is no quota.
"""

import math
import threading
import time
from functools import cache

from leadline.errors import TooManyRequests
from leadline.settings import settings

#: What sums of floating-point times may be off by.
_ROUNDING_S = 1e-6


class Throttle:
    """`burst` writes at once, then `per_s` each second, for each caller by itself."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._lock = threading.Lock()
        # Callers are our own keys, so there are few of them.
        self._full_at: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Count a write.

        Raises:
            TooManyRequests: there was one too many; says when there is room for another.
        """
        if not self._per_s:
            return
        now = time.monotonic()
        with self._lock:
            full_at = max(self._full_at.get(caller, now), now) + 1 / self._per_s
            wait_s = full_at - now - self._burst / self._per_s
            if wait_s <= _ROUNDING_S:
                self._full_at[caller] = full_at
                return
        raise TooManyRequests(math.ceil(wait_s))


@cache
def writes() -> Throttle:
    """This process's limit of writes."""
    return Throttle(settings().write_rate_per_s, settings().write_burst)

"""Rate limit of writes: a token bucket for each caller, in this process's memory.

Each replica of a function limits on its own, so several allow a key a multiple of the limit. The
limit prevents one client from starving the others; it is not a quota.
"""

import math
import threading
import time

from leadline.errors import TooManyRequests
from leadline.process import per_process
from leadline.settings import settings

#: Rounding error of sums of floating-point times.
_ROUNDING_S = 1e-6


class RateLimiter:
    """Allows each caller `burst` writes at once, then `per_s` per second; 0: unlimited."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._lock = threading.Lock()
        # When the bucket of each caller is full again (time.monotonic). Callers are names of our
        # keys, so there are not many.
        self._full_at: dict[str, float] = {}

    def acquire(self, caller: str) -> None:
        """Take a token for a write.

        Raises:
            TooManyRequests: none is available; says how long to wait for the next one.
        """
        self._take(caller, 1, needed=1)

    def acquire_more(self, caller: str, writes: int) -> None:
        """Take the other tokens of a request with several writes, which has acquired one already.

        At most `burst` tokens must be available; the rest is borrowed, and later requests wait
        until it is repaid.

        Raises:
            TooManyRequests: too few are available; says how long to wait.
        """
        self._take(caller, writes - 1, needed=min(writes, self._burst) - 1)

    def _take(self, caller: str, tokens: int, *, needed: int) -> None:
        """Take `tokens` if `needed` of them are available; the others are borrowed."""
        if not self._per_s:
            return
        now = time.monotonic()
        with self._lock:
            full_at = max(self._full_at.get(caller, now), now)
            wait_s = full_at - now - (self._burst - needed) / self._per_s
            if wait_s <= _ROUNDING_S:
                self._full_at[caller] = full_at + tokens / self._per_s
                return
        raise TooManyRequests(math.ceil(wait_s))


@per_process
def writes() -> RateLimiter:
    """This process's rate limit of writes."""
    return RateLimiter(settings().write_rate_per_s, settings().write_burst)

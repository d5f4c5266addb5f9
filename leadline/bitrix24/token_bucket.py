"""The portal's request rate: one token bucket in Redis, used by every worker before each request.

Bitrix24 counts requests per portal and source address, up to a burst, and lowers the count at a
rate (https://apidocs.bitrix24.com/limits.html): 2 a second and 50, Enterprise 5 and 250.
All times are by Redis' clock, so that machines need not agree on the time.
"""

from pathlib import Path
from typing import Any

import redis

from leadline.runtime import lua
from leadline.runtime.redis import reachable

_LUA = Path(__file__).parent / "lua"
#: Part of the burst left unused: requests don't reach the portal as evenly as they were sent.
MARGIN = 2
#: How long all workers wait after a refusal, which should not happen.
REFUSAL_WAIT_S = 2.0
#: Requests are counted per slot of SLOT_S; the counts of the last COUNTED_S are reported.
SLOT_S = 5
COUNTED_S = 300


class TokenBucket:
    """Spaces out the requests of all workers on all machines; with a rate of 0 it does nothing."""

    def __init__(self, client: redis.Redis, prefix: str, *, rate_per_s: float, burst: int) -> None:
        self._redis = client
        self._key = f"{prefix}tokens"
        self._epoch = f"{prefix}memory"
        self._rate = rate_per_s
        self._capacity = burst - MARGIN
        self._take = lua.script(client, _LUA, "take")
        self._drain = lua.script(client, _LUA, "drain")

    def reserve(self) -> float:
        """Take a token; returns how many seconds the caller must wait before it sends.

        Raises:
            QueueDown: Redis can't be reached.
        """
        wait_s, _ = self._take_tokens(1)
        return wait_s

    def level(self) -> float:
        """How full the bucket is, from 0 to 1.

        Raises:
            QueueDown: Redis can't be reached.
        """
        _, level = self._take_tokens(0)
        return level

    @reachable()
    def requests_per_slot(self) -> list[int]:
        """Requests of the last COUNTED_S seconds, per SLOT_S, the newest last.

        Raises:
            QueueDown: Redis can't be reached.
        """
        redis_time: Any = self._redis.time()
        newest = int(redis_time[0]) // SLOT_S
        slots = range(newest - COUNTED_S // SLOT_S + 1, newest + 1)
        counts: Any = self._redis.mget([f"{self._key}:sent:{slot}" for slot in slots])
        return [max(0, int(count or 0)) for count in counts]

    def tokens(self) -> float:
        """Number of requests that may be sent at once; 0 if requests are not limited.

        Raises:
            QueueDown: Redis can't be reached.
        """
        return self.level() * self._capacity if self._rate else 0.0

    def give_back(self) -> None:
        """Return an unused token."""
        self._take_tokens(-1)

    @reachable()
    def drain(self) -> None:
        """Drain the bucket after a refusal: all workers wait for REFUSAL_WAIT_S."""
        if self._rate:
            self._drain(keys=[self._key, self._epoch], args=[self._rate, REFUSAL_WAIT_S])

    @reachable()
    def _take_tokens(self, tokens: int) -> tuple[float, float]:
        """Take tokens; returns the seconds to wait, and how full the bucket is, from 0 to 1."""
        if not self._rate:
            return 0.0, 1.0
        args = [self._rate, self._capacity, tokens]
        wait_us, level = self._take(keys=[self._key, self._epoch], args=args)
        return wait_us / 1_000_000, level / 1_000_000

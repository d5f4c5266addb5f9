"""The portal's request rate: one token bucket in Redis, asked by every worker before each request.

Bitrix24 counts requests per portal and source address, up to a burst, and forgets some each second
(https://apidocs.bitrix24.com/limits.html): 2 a second and 50, Enterprise 5 and 250.
Redis' own clock counts, so that machines need not agree on the time.
"""

from pathlib import Path
from typing import Any

import redis

from leadline.runtime import lua

_LUA = Path(__file__).parent / "lua"
#: Slots of the burst left unused: requests reach the portal not quite as evenly as they were sent.
MARGIN = 2
#: How long nobody calls after a refusal, which should not happen.
HOLD_S = 2.0
#: Requests are counted for so many seconds together, and for how long they are told.
SLOT_S = 5
HISTORY_S = 300


class TokenBucket:
    """Spaces out the requests of all workers of all machines."""

    def __init__(self, client: redis.Redis, prefix: str, *, rate_per_s: float, burst: int) -> None:
        self._redis = client
        self._key = f"{prefix}tokens"
        self._epoch = f"{prefix}memory"
        self._rate = rate_per_s
        self._capacity = burst - MARGIN
        self._take = lua.script(client, _LUA, "take")
        self._drain = lua.script(client, _LUA, "drain")

    def reserve(self) -> float:
        """Take a token; returns the seconds until it is there, which the caller must wait.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        return self._run(1)[0]

    def level(self) -> float:
        """How full the bucket is, from 0 to 1; below 1, waiting loses no request.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        return self._run(0)[1]

    def requests_per_slot(self) -> list[int]:
        """Requests of the last TOLD_S seconds, SLOT_S together, the newest last.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        now: Any = self._redis.time()
        last = int(now[0]) // SLOT_S
        slots = range(last - HISTORY_S // SLOT_S + 1, last + 1)
        counts: Any = self._redis.mget([f"{self._key}:sent:{slot}" for slot in slots])
        return [max(0, int(count or 0)) for count in counts]

    def tokens(self) -> float:
        """How many requests may be sent at once; 0 too where the rate has no limit.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        return self.level() * self._capacity if self._rate else 0.0

    def give_back(self) -> None:
        """Return a token that was not used."""
        self._run(-1)

    def drain(self) -> None:
        """A request was refused: nobody calls for a moment."""
        if self._rate:
            self._drain(keys=[self._key, self._epoch], args=[self._rate, HOLD_S])

    def _run(self, tokens: int) -> tuple[float, float]:
        if not self._rate:
            return 0.0, 1.0
        args = [self._rate, self._capacity, tokens]
        wait_us, level = self._take(keys=[self._key, self._epoch], args=args)
        return wait_us / 1_000_000, level / 1_000_000

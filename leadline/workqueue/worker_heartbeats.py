"""Heartbeats: which workers are alive.

RQ has its own registry, but a worker is entered there only when it starts: after Redis has lost its
data, the registry would stay empty.
"""

import time

import redis

from leadline.runtime.redis import reachable

#: A worker that is silent for longer than this is forgotten.
FORGET_AFTER_S = 3600
#: Each worker sends a heartbeat every second, also during a call; one silent for longer than this
#: counts as gone.
SILENT_S = 10.0


class WorkerHeartbeats:
    """The workers of one portal, with the time of each one's last heartbeat."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}workers"
        self._site = f"{prefix}site"

    @reachable()
    def beat(self, worker: str, site: str = "") -> None:
        """Record a heartbeat of this worker, and the address of its portal's site if known."""
        now = time.time()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zadd(self._key, {worker: now})
            pipe.zremrangebyscore(self._key, "-inf", now - FORGET_AFTER_S)
            if site:
                pipe.set(self._site, site, ex=FORGET_AFTER_S)
            pipe.execute()

    @reachable()
    def silence_s(self) -> float | None:
        """Seconds since the last heartbeat of any worker; None if there was none for an hour."""
        newest: list[tuple[bytes, float]] = self._redis.zrevrange(  # type: ignore[assignment]
            self._key, 0, 0, withscores=True
        )
        return max(0.0, time.time() - newest[0][1]) if newest else None

    @reachable()
    def site(self) -> str | None:
        """The portal's site, such as https://example.bitrix24.com; None if no worker names one."""
        site: bytes | None = self._redis.get(self._site)  # type: ignore[assignment]
        return site.decode() if site else None

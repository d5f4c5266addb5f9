"""No calls for a while: the portal serves nobody, or an operator said so.

While the portal serves nobody, nothing is sent but a slow probe, until it answers again. What an
operator holds is not probed, and only an operator resumes it. A hold outlives Redis' memory: every
process that has seen it puts it back before it makes another call, and the ledger keeps it for
those that start later (`leadline.operations.manual_hold`).
"""

import threading

import redis
import structlog

from leadline.errors import PortalDown
from leadline.workqueue.lua_scripts import script
from leadline.workqueue.outage import Outage, OutageRecord, parse

log = structlog.get_logger()


class CircuitBreaker:
    """The portal's pause, shared by all workers through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._key, self._resumed = f"{prefix}paused", f"{prefix}resumed"
        self._record = OutageRecord(client, self._key)
        self._look = script(client, "restore_hold", "read_pause")
        self._hold = script(client, "hold")
        self._release = script(client, "release")
        self._restore = script(client, "restore_hold", "restore")
        self._lock = threading.Lock()
        #: The hold that was in force when this process looked last.
        self._seen: Outage | None = None

    def state(self) -> Outage | None:
        """The pause in force, None where calls may be made.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        with self._lock:  # or what was seen first could replace what was seen last
            seen = [_seconds(self._seen.since), self._seen.reason] if self._seen else ["", ""]
            now_ms, found = self._look(keys=[self._key, self._resumed], args=seen)
            state = parse(found, now_ms)
            self._seen = state if state and state.is_held else None
        return state

    def open(self, error: PortalDown) -> None:
        """Pause, or go on pausing for the newest reason."""
        if self._record.record(error.code, error.detail):
            log.error("portal paused", reason=error.detail, code=error.code)

    def hold(self, reason: str) -> float:
        """An operator pauses, whether or not the portal serves us; returns since when."""
        since = float(self._hold(keys=[self._key, self._resumed], args=[reason]))
        log.warning("calls paused by an operator")
        return since

    def restore_hold(self, since: float, reason: str) -> None:
        """Hold as an operator has said before, unless one has resumed since."""
        if self._restore(keys=[self._key, self._resumed], args=[_seconds(since), reason]):
            log.warning("Redis has forgotten that an operator paused calls: paused again")

    def release(self) -> bool:
        """An operator resumes: calls are made at once, whatever the reason was; False: no pause."""
        was_paused = bool(self._release(keys=[self._key, self._resumed]))
        if was_paused:
            log.warning("calls resumed by an operator")
        return was_paused

    def claim_probe(self) -> bool:
        """True for the one worker that may make the probe that is due."""
        return self._record.claim_probe()

    def close(self) -> None:
        """The portal serves us; a pause that an operator holds goes on."""
        paused_for_s = self._record.clear()
        if paused_for_s is not None:
            log.info("portal resumed", paused_for_s=round(paused_for_s))


def _seconds(since: float) -> str:
    """As the scripts write it."""
    return f"{since:.3f}"

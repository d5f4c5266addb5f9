"""No calls for a while: the portal serves nobody, or an operator said so.

While the portal serves nobody, nothing is sent but a slow probe, until it answers again. What an
operator has paused is not probed, and only an operator resumes it.
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
import structlog

from leadline.runtime.errors import BitrixError, PortalDown

if TYPE_CHECKING:  # who only looks at the state needs no HTTP client
    from leadline.bitrix24.portal import Portal

log = structlog.get_logger()

#: Ends a pause, but not one that an operator began meanwhile.
_END = """
if redis.call('HEXISTS', KEYS[1], 'held') == 1 then return 0 end
return redis.call('DEL', KEYS[1])
"""
#: Seconds between probes; the last repeats.
PROBE_STEPS_S = (2, 5, 10, 15, 30)


@dataclass(frozen=True, slots=True)
class Paused:
    """Since when (unix seconds) and why, and when the next probe is due."""

    since: float
    reason: str
    probes: int
    next_probe_at: float
    #: An operator has paused, and must resume.
    is_held: bool = False

    def next_probe_in_s(self) -> float:
        """Seconds until a probe is due; 0 too where the clock was set back since."""
        if self.is_held:
            return math.inf
        wait_s = self.next_probe_at - time.time()
        return wait_s if 0 < wait_s <= PROBE_STEPS_S[-1] else 0.0


class Pause:
    """The portal's state, shared by all workers through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}paused"

    def state(self) -> Paused | None:
        """The pause in force, None where the portal serves us."""
        found: dict[bytes, bytes] = self._redis.hgetall(self._key)  # type: ignore[assignment]
        if not found:
            return None
        text = {name.decode(): value.decode() for name, value in found.items()}
        return Paused(
            float(text.get("since", 0)),
            text.get("reason", ""),
            int(text.get("probes", 0)),
            float(text.get("next_probe_at", 0)),
            is_held="held" in text,
        )

    def begin(self, error: PortalDown) -> None:
        """Pause, or go on pausing; the reason is told once."""
        now = time.time()
        values: dict[str, str | float] = {"since": now, "reason": error.detail}
        values["next_probe_at"] = now + PROBE_STEPS_S[0]
        if self._redis.hsetnx(self._key, "probes", 0):
            self._redis.hset(self._key, mapping=values)  # type: ignore[arg-type]
            log.error("portal paused", reason=error.detail, code=error.code)

    def hold(self, reason: str) -> None:
        """An operator pauses, whether or not the portal serves us."""
        values: dict[str, str | float] = {"held": 1, "reason": reason, "probes": 0}
        self._redis.hset(self._key, mapping=values)  # type: ignore[arg-type]
        self._redis.hsetnx(self._key, "since", time.time())
        log.warning("calls paused by an operator")

    def release(self) -> bool:
        """An operator resumes: calls are made at once, whatever the reason was; False: no pause."""
        was_paused = bool(self._redis.delete(self._key))
        if was_paused:
            log.warning("calls resumed by an operator")
        return was_paused

    def is_over(self, portal: "Portal") -> bool:
        """Whether calls may be made: no pause, or the probe that was due has been answered."""
        state = self.state()
        if state is None:
            return True
        if state.next_probe_in_s() or not self._claim_probe(state):
            return False
        try:
            portal.probe()
        except BitrixError as error:
            log.warning("portal still paused", reason=error.detail, probes=state.probes + 1)
            return False
        self.end(state)
        return True

    def end(self, state: Paused) -> None:
        """The portal has answered."""
        if self._redis.eval(_END, 1, self._key):
            log.info("portal resumed", paused_for_s=round(time.time() - state.since))

    def _claim_probe(self, state: Paused) -> bool:
        """Set the next probe's time; True for the one worker that may make this one."""
        probes = int(self._redis.hincrby(self._key, "probes", 1))
        step = PROBE_STEPS_S[min(probes, len(PROBE_STEPS_S) - 1)]
        self._redis.hset(self._key, "next_probe_at", time.time() + step)
        return probes == state.probes + 1

"""An outage: a time in which Bitrix24 does not serve us, kept in Redis for all who call or look.

Redis' own clock counts, so that machines need not agree on the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from leadline.workqueue.lua_scripts import script

#: Seconds between probes; the last repeats.
PROBE_STEPS_S = (2, 5, 10, 15, 30)


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when (unix seconds) and why, and when the next probe is due."""

    since: float
    reason: str
    #: What kind of outage it is, in a word or code of ours or of Bitrix24.
    code: str
    next_probe_at: float
    #: Redis' clock when this was read.
    now: float
    #: An operator has paused, and must resume.
    is_held: bool = False

    @property
    def lasts_s(self) -> float:
        """For how many seconds it has lasted."""
        return max(0.0, self.now - self.since)

    @property
    def next_probe_in_s(self) -> float:
        """Seconds until a probe is due; 0 too where the clock was set back since."""
        if self.is_held:
            return math.inf
        wait_s = self.next_probe_at - self.now
        return wait_s if 0 < wait_s <= PROBE_STEPS_S[-1] else 0.0


class OutageRecord:
    """Where all workers of a portal record one kind of outage."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._key = key
        self._begin = script(client, "outage_begin")
        self._claim = script(client, "outage_claim")
        self._end = script(client, "outage_end")
        self._look = script(client, "read_outage")

    def state(self) -> Outage | None:
        """The outage that lasts, None where there is none.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        now_ms, found = self._look(keys=[self._key])
        return parse(found, now_ms)

    def claim_probe(self) -> bool:
        """True for the one worker that may make the probe that is due."""
        return bool(self._claim(keys=[self._key], args=list(PROBE_STEPS_S)))

    def record(self, code: str, reason: str) -> bool:
        """Begin, or go on with another reason; True where it begins."""
        return bool(self._begin(keys=[self._key], args=[code, reason, PROBE_STEPS_S[0]]))

    def clear(self) -> float | None:
        """End it; returns how many seconds it lasted, None where there was none to end."""
        lasted_ms: int = self._end(keys=[self._key])
        return None if lasted_ms < 0 else lasted_ms / 1000


def parse(found: Sequence[bytes], now_ms: int) -> Outage | None:
    """An outage as Redis has it: names and texts in turn."""
    if not found:
        return None
    texts = [text.decode() for text in found]
    fields = dict(zip(texts[::2], texts[1::2], strict=True))
    return Outage(
        since=float(fields.get("since", 0)),
        reason=fields.get("reason", ""),
        code=fields.get("code", ""),
        next_probe_at=float(fields.get("next_probe_at", 0)),
        now=now_ms / 1000,
        is_held="held" in fields,
    )

"""An outage of the portal, recorded in Redis for all workers and for monitoring.

A manual hold is recorded in the same way: it stops all calls too.

All times are by Redis' clock, so that machines need not agree on the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from leadline.runtime.redis import reachable
from leadline.workqueue.lua import script

#: Seconds between probes; the last step repeats.
PROBE_STEPS_S = (2, 5, 10, 15, 30)


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage: since when and why, and when the next probe is due; times in unix seconds."""

    since: float
    reason: str
    #: The kind of outage (`reachability.KINDS`), or an error code of ours or of Bitrix24.
    code: str
    #: 0 during a manual hold, which sends no probes.
    next_probe_at: float
    #: Redis' clock at the time of the read.
    now: float
    #: A manual hold: only an operator ends it.
    is_manual_hold: bool = False

    @property
    def lasts_s(self) -> float:
        """How long it has lasted, in seconds."""
        return max(0.0, self.now - self.since)


class OutageRecord:
    """The record of the current outage under one key; all workers of a portal share it."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._key = key
        self._begin = script(client, "outage_begin")
        self._claim = script(client, "outage_claim")
        self._end = script(client, "outage_end")
        self._read = script(client, "read_outage")

    @reachable()
    def current(self) -> Outage | None:
        """The current outage; None if there is none.

        Raises:
            QueueDown: Redis can't be reached.
        """
        now_ms, stored = self._read(keys=[self._key])
        return parse(stored, now_ms)

    @reachable()
    def claim_probe(self) -> bool:
        """Claim the probe that is due; True for one worker only."""
        return bool(self._claim(keys=[self._key], args=list(PROBE_STEPS_S)))

    @reachable()
    def record(self, code: str, reason: str) -> bool:
        """Begin an outage, or update the reason of the current one; True if it begins."""
        return bool(self._begin(keys=[self._key], args=[code, reason, PROBE_STEPS_S[0]]))

    @reachable()
    def clear(self) -> float | None:
        """End the outage; returns how many seconds it lasted, None if there was none to end."""
        lasted_ms: int = self._end(keys=[self._key])
        return None if lasted_ms < 0 else lasted_ms / 1000


def parse(stored: Sequence[bytes], now_ms: int) -> Outage | None:
    """Parse an outage from a Redis hash, names and values in turn; None if it is empty."""
    if not stored:
        return None
    texts = [text.decode() for text in stored]
    fields = dict(zip(texts[::2], texts[1::2], strict=True))
    return Outage(
        since=float(fields.get("since", 0)),
        reason=fields.get("reason", ""),
        code=fields.get("code", ""),
        next_probe_at=float(fields.get("next_probe_at", 0)),
        now=now_ms / 1000,
        is_manual_hold="held" in fields,
    )

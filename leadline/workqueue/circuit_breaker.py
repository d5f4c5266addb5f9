"""Circuit breaker for the portal, with a manual hold.

While the portal rejects all calls the circuit is open: only slow probes are sent, until one
succeeds. During a manual hold the circuit is open too, but no probes are sent, and only an operator
ends it. Log, metrics and console call an open circuit *paused*, and Redis records it as an outage.

A manual hold survives a loss of Redis' data: every process that has seen it restores it before its
next call, and Postgres stores it for processes that start later (see
`leadline.operations.manual_hold`).
"""

import threading

import redis
import structlog

from leadline.errors import PortalDown
from leadline.runtime.redis import reachable
from leadline.workqueue.lua import script
from leadline.workqueue.outage import Outage, OutageRecord, parse

log = structlog.get_logger()


class CircuitBreaker:
    """Shared by all workers of a portal, through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._key = f"{prefix}paused"
        #: The key with the time at which an operator last resumed calls.
        self._resumed_at_key = f"{prefix}resumed"
        self._record = OutageRecord(client, self._key)
        self._restore_and_read = script(client, "restore_hold", "restore_and_read")
        self._hold = script(client, "hold")
        self._resume = script(client, "resume")
        self._restore = script(client, "restore_hold", "restore")
        self._lock = threading.Lock()
        #: The manual hold that this process saw at its last read.
        self._seen_hold: Outage | None = None

    @reachable()
    def restore_and_read(self) -> Outage | None:
        """Restore a hold that Redis has lost since this process saw it; then read the circuit.

        Returns why and since when the circuit is open; None while it is closed.

        Raises:
            QueueDown: Redis can't be reached.
        """
        with self._lock:  # otherwise an older read could overwrite a newer one
            hold = self._seen_hold
            now_ms, stored = self._restore_and_read(
                keys=[self._key, self._resumed_at_key],
                args=[_seconds(hold.since), hold.reason] if hold else ["", ""],
            )
            outage = parse(stored, now_ms)
            self._seen_hold = outage if outage and outage.is_manual_hold else None
        return outage

    def open(self, error: PortalDown) -> None:
        """Open the circuit, or keep it open for a newer reason."""
        if self._record.record(error.code, error.detail):
            log.error("portal paused", reason=error.detail, code=error.code)

    def close(self) -> None:
        """Close the circuit because the portal answers, unless an operator holds it."""
        paused_for_s = self._record.clear()
        if paused_for_s is not None:
            log.info("portal resumed", paused_for_s=round(paused_for_s))

    @reachable()
    def hold(self, reason: str) -> float:
        """Hold all calls until an operator resumes them; returns since when (unix seconds)."""
        since = float(self._hold(keys=[self._key, self._resumed_at_key], args=[reason]))
        log.warning("calls paused by an operator")
        return since

    @reachable()
    def restore_hold(self, since: float, reason: str) -> None:
        """Restore a hold that Redis has lost, unless an operator resumed calls after `since`."""
        if self._restore(keys=[self._key, self._resumed_at_key], args=[_seconds(since), reason]):
            log.warning("Redis lost an operator's hold: restored")

    @reachable()
    def resume(self) -> bool:
        """Close the circuit for an operator, whatever opened it; False if it was closed."""
        was_paused = bool(self._resume(keys=[self._key, self._resumed_at_key]))
        if was_paused:
            log.warning("calls resumed by an operator")
        return was_paused

    def claim_probe(self) -> bool:
        """Claim the probe that is due (half-open); True for one worker only."""
        return self._record.claim_probe()


def _seconds(since: float) -> str:
    """Unix seconds as the Lua scripts write them."""
    return f"{since:.3f}"

"""The console's dashboard: its parts are cached, expensive ones for longer."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from leadline.ledger.backlog import CachedCounts
from leadline.ledger.history import last_hour
from leadline.operations import status
from leadline.operations.stale_cache import StaleCache
from leadline.process import per_process

Part = dict[str, Any]


class Dashboard:
    """All parts of the dashboard, cached for this process."""

    def __init__(self) -> None:
        users = CachedCounts()
        self._parts = {
            "ledger": _cached(lambda: status.ledger(users.counts), 1),
            "work": _cached(status.work, 1),
            "portal": _cached(status.portal, 1),
            "rate": _cached(status.rate, 1),
            "queues": _cached(status.queues, 3),
            "hour": _cached(last_hour, 3),
        }

    def snapshot(self) -> dict[str, Any]:
        """Every part by name; a part whose server fails has only an `error`."""
        parts: dict[str, Any] = {name: part.get() for name, part in self._parts.items()}
        return {"now": datetime.now(UTC), **parts}

    def invalidate(self) -> None:
        """Drop cached parts after an action, to show its effect; expensive parts may be late."""
        for name in ("ledger", "work", "portal"):
            self._parts[name].invalidate()


@per_process
def dashboard() -> Dashboard:
    """The dashboard of this process."""
    return Dashboard()


def _cached(load: Callable[[], Part], min_fresh_s: float) -> StaleCache[Part]:
    return StaleCache(lambda: status.or_error(load), min_fresh_s)

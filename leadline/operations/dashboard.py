"""All figures of the console, each asked of its server only as often as it is worth."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from leadline.ledger.backlog import CachedCounts
from leadline.ledger.history import last_hour
from leadline.operations import status
from leadline.operations.stale_cache import Calm

Part = dict[str, Any]


class Figures:
    """What this process knows, for all who look."""

    def __init__(self) -> None:
        users = CachedCounts()
        self._parts = {
            "ledger": _calm(lambda: status.ledger(users.counts), 1),
            "work": _calm(status.work, 1),
            "portal": _calm(status.portal, 1),
            "rate": _calm(status.rate, 1),
            "queues": _calm(status.queues, 3),
            "hour": _calm(last_hour, 3),
        }

    def told(self) -> dict[str, Any]:
        """Every part, by name; one that can't be asked has only an `error`."""
        parts: dict[str, Any] = {name: part.figure() for name, part in self._parts.items()}
        return {"now": datetime.now(UTC), **parts}

    def forget(self) -> None:
        """Whoever gives an order sees at once what it did; the costly figures may be late."""
        for name in ("ledger", "work", "portal"):
            self._parts[name].forget()


@cache
def figures() -> Figures:
    """This process's."""
    return Figures()


def _calm(ask: Callable[[], Part], at_least_s: float) -> Calm[Part]:
    return Calm(lambda: status.part(ask), at_least_s)

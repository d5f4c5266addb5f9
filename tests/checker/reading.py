"""Queries on a history that several rules share."""

from collections import defaultdict
from collections.abc import Iterable

from tests.checker.history import ClientWrite, History, LedgerEvent


def acknowledged_writes(history: History) -> list[ClientWrite]:
    """The writes whose answers promised the client that they are stored."""
    return [write for write in history.writes if write.is_acknowledged]


def distinct(writes: Iterable[ClientWrite]) -> list[ClientWrite]:
    """Writes without repeats: the first of those with one idempotency key and the same answer."""
    first: dict[object, ClientWrite] = {}
    for position, write in enumerate(writes):
        first.setdefault((write.key, write.user, write.version) if write.key else position, write)
    return list(first.values())


def is_lost(write: ClientWrite, history: History) -> bool:
    """Whether a fork after the answer lost this write's version."""
    return fork_that_lost(write, history) > 0


def fork_that_lost(write: ClientWrite, history: History) -> int:
    """The number, from 1, of the fork that lost this write's version; 0 if none did."""
    for number, fork in enumerate(history.injected.forks[write.era :], write.era + 1):
        if (write.user, write.version) in fork.lost:
            return number
    return 0


def by_version(history: History) -> dict[tuple[int | None, int | None], LedgerEvent]:
    """The ledger's events by user and version."""
    return {(event.user, event.version): event for event in history.events}


def events_of_users(history: History) -> dict[int, list[LedgerEvent]]:
    """Each user's events, by version."""
    found: dict[int, list[LedgerEvent]] = defaultdict(list)
    for event in sorted(history.events, key=lambda event: event.version):
        found[event.user].append(event)
    return found

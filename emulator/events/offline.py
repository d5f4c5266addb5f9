"""Offline events: a queue that an application polls.

Of several equal events of a lead only the last one stays queued; an application's own writes, made
with its `auth_connector`, are not queued for it.
"""

import secrets
from dataclasses import dataclass

from emulator.leads.store import Store


@dataclass(frozen=True)
class OfflineEvent:
    """A change that waits to be fetched."""

    id: int
    event: str
    lead_id: int
    time: float


class OfflineQueue:
    """All applications' queues; a connector, perhaps empty, identifies an application."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> list[tuple[str, str]]:
        """The events to queue, each with the connector that bound it."""
        rows = self._store.db.execute("SELECT event, connector FROM offline_handler")
        return [(event, connector) for event, connector in rows]

    def bind(self, event: str, connector: str) -> None:
        """Start queueing an event."""
        self._store.db.execute(
            "INSERT OR IGNORE INTO offline_handler VALUES (?, ?)", (event, connector)
        )

    def unbind(self, event: str, connector: str) -> int:
        """Stop queueing an event; returns the number of handlers removed."""
        return self._store.db.execute(
            "DELETE FROM offline_handler WHERE event = ? AND connector = ?", (event, connector)
        ).rowcount

    def add(self, event: str, lead_id: int, by: str, time: float) -> None:
        """Queue the event of a write made by the connector `by`."""
        for bound, connector in self.handlers():
            if bound == event and (not by or by != connector):
                self._put(event, connector, lead_id, time)

    def fetch(
        self, connector: str, limit: int, *, clear: bool
    ) -> tuple[str | None, list[OfflineEvent]]:
        """The oldest free events, removed, or reserved under the returned process id."""
        with self._store.transaction():
            rows = self._store.db.execute(
                "SELECT id, event, lead_id, time FROM offline_event"
                " WHERE connector = ? AND process_id IS NULL ORDER BY id LIMIT ?",
                (connector, limit),
            ).fetchall()
            process_id = secrets.token_hex(16)
            self._store.db.executemany(
                "UPDATE offline_event SET process_id = ? WHERE id = ?",
                [(process_id, row[0]) for row in rows],
            )
            if clear:
                self.clear(process_id)
        return None if clear else process_id, [OfflineEvent(*row) for row in rows]

    def clear(self, process_id: str) -> None:
        """Remove the events reserved under a process id."""
        self._store.db.execute("DELETE FROM offline_event WHERE process_id = ?", (process_id,))

    def _put(self, event: str, connector: str, lead_id: int, time: float) -> None:
        with self._store.transaction():
            self._store.db.execute(
                "DELETE FROM offline_event WHERE process_id IS NULL"
                " AND event = ? AND connector = ? AND lead_id = ?",
                (event, connector, lead_id),
            )
            self._store.db.execute(
                "INSERT INTO offline_event (event, connector, lead_id, time) VALUES (?, ?, ?, ?)",
                (event, connector, lead_id, time),
            )

"""Offline events: a queue that an application polls.

Of several equal events of an object only the last one stays queued; an application's own writes,
made with its `auth_connector`, are not queued for it. Documentation: events/offline-events.md.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.entities.filters import Where
from emulator.entities.store import Store


@dataclass(frozen=True)
class OfflineEvent:
    """A change of the object `owner_id` that waits to be fetched or, once reserved, cleared."""

    id: int
    event: str
    owner_id: int
    time: float
    #: The process that has reserved the event; None if none has.
    process_id: str | None = None
    #: 1 if that process has reported a failure, else 0.
    error: int = 0
    #: The type of the object, for events whose name does not contain it; 0 for all others.
    type_id: int = 0


class OfflineQueue:
    """All applications' queues; `application`: the `auth_connector` of one, "" if it sends none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handlers: list[tuple[str, str]] = []
        self.load()

    def load(self) -> None:
        """Read the handlers from the store."""
        rows = self._store.db.execute("SELECT event, connector FROM offline_handler")
        self._handlers = [(event, application) for event, application in rows]

    def handlers(self) -> list[tuple[str, str]]:
        """The events to queue, each with the application that bound it."""
        return self._handlers

    def bind(self, event: str, application: str) -> None:
        """Start queueing an event."""
        self._store.db.execute(
            "INSERT OR IGNORE INTO offline_handler VALUES (?, ?)", (event, application)
        )
        self.load()

    def unbind(self, event: str, application: str) -> int:
        """Stop queueing an event; returns the number of handlers removed."""
        count = self._store.db.execute(
            "DELETE FROM offline_handler WHERE event = ? AND connector = ?", (event, application)
        ).rowcount
        self.load()
        return count

    def add(self, event: str, owner_id: int, writer: str, time: float, type_id: int = 0) -> bool:
        """Queue the event of a write; returns whether any queue got it.

        `writer`: the application that wrote, whose own queue does not get the event; after a write
        without `auth_connector` ("") all queues get it.
        """
        receivers = [
            application
            for bound_event, application in self._handlers
            if bound_event == event and (writer == "" or writer != application)
        ]
        for application in receivers:
            self._put(event, application, owner_id, time, type_id)
        return bool(receivers)

    def read(
        self, application: str, where: Where, order: str, page: str = ""
    ) -> list[OfflineEvent]:
        """The events of an application that meet `where`, reserved ones included.

        `page`: a LIMIT clause, or "" for all events.
        """
        conditions = Where(["connector = ?", *where.conditions], [application, *where.values])
        cursor = self._store.db.execute(
            "SELECT id, event, owner_id, time, process_id, error, type_id"  # noqa: S608 (our clauses)
            f" FROM offline_event {conditions.sql} ORDER BY {order} {page}",
            conditions.values,
        )
        return [OfflineEvent(*row) for row in cursor]

    def reserve(self, events: Sequence[OfflineEvent]) -> str:
        """Hide events from other readers; returns the process id by which they are cleared."""
        process_id = secrets.token_hex(16)
        self._store.db.executemany(
            "UPDATE offline_event SET process_id = ? WHERE id = ?",
            [(process_id, event.id) for event in events],
        )
        return process_id

    def remove(self, events: Sequence[OfflineEvent]) -> None:
        """Remove events."""
        self._store.db.executemany(
            "DELETE FROM offline_event WHERE id = ?", [(event.id,) for event in events]
        )

    def reserved(self, process_id: str, ids: Sequence[int] | None) -> list[OfflineEvent]:
        """The events reserved under a process id, all or those named by id."""
        cursor = self._store.db.execute(
            "SELECT id, event, owner_id, time, process_id, error, type_id FROM offline_event"
            " WHERE process_id = ? ORDER BY id",
            (process_id,),
        )
        found = [OfflineEvent(*row) for row in cursor]
        return found if ids is None else [event for event in found if event.id in ids]

    def mark_failed(self, events: Sequence[OfflineEvent]) -> None:
        """Mark events as failed: they are returned only on request."""
        self._store.db.executemany(
            "UPDATE offline_event SET error = 1 WHERE id = ?", [(event.id,) for event in events]
        )

    def _put(self, event: str, application: str, owner_id: int, time: float, type_id: int) -> None:
        """Queue an event in place of an equal one that is not reserved."""
        with self._store.transaction():
            self._store.db.execute(
                "DELETE FROM offline_event WHERE process_id IS NULL"
                " AND event = ? AND connector = ? AND owner_id = ? AND type_id = ?",
                (event, application, owner_id, type_id),
            )
            self._store.db.execute(
                "INSERT INTO offline_event (event, connector, owner_id, time, type_id)"
                " VALUES (?, ?, ?, ?, ?)",
                (event, application, owner_id, time, type_id),
            )

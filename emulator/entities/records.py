"""The portal's records that are no CRM objects, such as currencies and comments: JSON, by family.

A family is what one group of methods works on, such as crm.currency. It numbers its own records;
ids are never reused.
"""

import json
from typing import Any

from emulator.entities.store import Store

Record = dict[str, Any]


class Records:
    """The records of all families."""

    def __init__(self, store: Store) -> None:
        self._db = store.db

    def add(self, family: str, record: Record) -> int:
        """Add a record; returns its id."""
        self._db.execute(
            "INSERT INTO record_family (name, last) VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET last = last + 1",
            (family,),
        )
        last = self._db.execute("SELECT last FROM record_family WHERE name = ?", (family,))
        record_id = int(last.fetchone()[0])
        self.put(family, record_id, record)
        return record_id

    def get(self, family: str, record_id: int | None) -> Record | None:
        """A record by its id, or None."""
        found = self._db.execute(
            "SELECT data FROM record WHERE family = ? AND id = ?", (family, record_id)
        ).fetchone()
        return json.loads(found[0]) if found else None

    def all(self, family: str) -> dict[int, Record]:
        """All records of a family by their ids."""
        cursor = self._db.execute(
            "SELECT id, data FROM record WHERE family = ? ORDER BY id", (family,)
        )
        return {record_id: json.loads(data) for record_id, data in cursor}

    def put(self, family: str, record_id: int, record: Record) -> None:
        """Add or replace a record."""
        self._db.execute(
            "INSERT OR REPLACE INTO record (family, id, data) VALUES (?, ?, ?)",
            (family, record_id, json.dumps(record, ensure_ascii=False)),
        )

    def delete(self, family: str, record_id: int) -> None:
        """Delete a record."""
        self._db.execute("DELETE FROM record WHERE family = ? AND id = ?", (family, record_id))

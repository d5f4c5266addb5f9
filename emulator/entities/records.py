"""The portal's records that are not CRM objects, each a row of a family: JSON without a schema.

Each family numbers its own rows; ids are never reused.
"""

import json
from typing import Any

from emulator.entities.store import Store

Record = dict[str, Any]


class Records:
    """The rows of all families."""

    def __init__(self, store: Store) -> None:
        self._db = store.db

    def add(self, family: str, record: Record) -> int:
        """Add a row; returns its id."""
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
        """A row by its id."""
        found = self._db.execute(
            "SELECT data FROM record WHERE family = ? AND id = ?", (family, record_id)
        ).fetchone()
        return json.loads(found[0]) if found else None

    def all(self, family: str) -> dict[int, Record]:
        """All rows of a family by their ids."""
        cursor = self._db.execute(
            "SELECT id, data FROM record WHERE family = ? ORDER BY id", (family,)
        )
        return {record_id: json.loads(data) for record_id, data in cursor}

    def put(self, family: str, record_id: int, record: Record) -> None:
        """Insert or replace a row."""
        self._db.execute(
            "INSERT OR REPLACE INTO record (family, id, data) VALUES (?, ?, ?)",
            (family, record_id, json.dumps(record, ensure_ascii=False)),
        )

    def delete(self, family: str, record_id: int) -> None:
        """Delete a row."""
        self._db.execute("DELETE FROM record WHERE family = ? AND id = ?", (family, record_id))

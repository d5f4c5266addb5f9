"""Leads in one SQLite file; acknowledged writes survive kill -9."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.leads.multifields import Row, RowChange, digest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lead (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS lead_origin ON lead (json_extract(data, '$.ORIGIN_ID'));
CREATE INDEX IF NOT EXISTS lead_stage ON lead (json_extract(data, '$.STATUS_ID'));
CREATE INDEX IF NOT EXISTS lead_modified ON lead (json_extract(data, '$.DATE_MODIFY'));
CREATE TABLE IF NOT EXISTS multifield (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lead_id INTEGER NOT NULL,
    type_id TEXT NOT NULL, value_type TEXT NOT NULL, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS multifield_lead ON multifield (lead_id);
CREATE INDEX IF NOT EXISTS multifield_digest ON multifield (type_id, digest);
CREATE TABLE IF NOT EXISTS write (
    id INTEGER PRIMARY KEY, lead_id INTEGER NOT NULL,
    time REAL NOT NULL, method TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS write_lead ON write (lead_id);
CREATE TABLE IF NOT EXISTS handler (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS offline_handler (
    event TEXT NOT NULL, connector TEXT NOT NULL, PRIMARY KEY (event, connector));
CREATE TABLE IF NOT EXISTS offline_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, connector TEXT NOT NULL,
    lead_id INTEGER NOT NULL, time REAL NOT NULL, process_id TEXT);
"""

_TABLES = ("write", "multifield", "lead", "handler", "offline_handler", "offline_event")


@dataclass
class Lead:
    """A lead: its set fields by upper-case name, and its multifield rows."""

    id: int
    data: dict[str, str | None]
    rows: list[Row] = field(default_factory=list)


class Store:
    """The portal's database."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def clear(self) -> None:
        """Delete everything; ids restart at 1."""
        with self.transaction():
            for table in _TABLES:
                self.db.execute(f"DELETE FROM {table}")  # noqa: S608 (names from above)
            self.db.execute("DELETE FROM sqlite_sequence")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction around all writes in the block."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def insert(self, data: dict[str, str | None]) -> int:
        """Insert a lead; returns its id."""
        cursor = self.db.execute("INSERT INTO lead (data) VALUES (?)", (_dump(data),))
        return int(cursor.lastrowid or 0)

    def save(self, lead_id: int, data: dict[str, str | None]) -> None:
        """Replace a lead's fields with `data`."""
        self.db.execute("UPDATE lead SET data = ? WHERE id = ?", (_dump(data), lead_id))

    def change_rows(self, lead_id: int, changes: Sequence[RowChange]) -> None:
        """Add, change and delete multifield rows; rows of other leads are ignored."""
        for change in changes:
            self._change_row(lead_id, change)

    def record(self, lead_id: int, time: float, method: str, fields: object) -> None:
        """Enter a write in the lead's history."""
        self.db.execute(
            "INSERT INTO write (lead_id, time, method, fields) VALUES (?, ?, ?, ?)",
            (lead_id, time, method, json.dumps(fields, ensure_ascii=False)),
        )

    def delete(self, lead_id: int) -> None:
        """Delete a lead with its rows and history."""
        self.db.execute("DELETE FROM lead WHERE id = ?", (lead_id,))
        self.db.execute("DELETE FROM multifield WHERE lead_id = ?", (lead_id,))
        self.db.execute("DELETE FROM write WHERE lead_id = ?", (lead_id,))

    def get(self, lead_id: int) -> Lead | None:
        """A lead with its rows, or None."""
        found = self.find("WHERE id = ?", (lead_id,))
        return found[0] if found else None

    def find(self, tail: str, values: Sequence[Any], *, with_rows: bool = True) -> list[Lead]:
        """The leads that `tail` selects: our own WHERE, ORDER BY and LIMIT clauses."""
        cursor = self.db.execute(f"SELECT id, data FROM lead {tail}", values)  # noqa: S608
        leads = [Lead(lead_id, json.loads(data)) for lead_id, data in cursor]
        if with_rows and leads:
            self._attach_rows(leads)
        return leads

    def count(self, tail: str, values: Sequence[Any]) -> int:
        """The number of leads that `tail` selects: our own WHERE clause."""
        row = self.db.execute(f"SELECT count(*) FROM lead {tail}", values).fetchone()  # noqa: S608
        return int(row[0])

    def _attach_rows(self, leads: list[Lead]) -> None:
        by_id = {lead.id: lead for lead in leads}
        cursor = self.db.execute(
            "SELECT lead_id, id, type_id, value_type, value FROM multifield"
            " WHERE lead_id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(list(by_id)),),
        )
        for lead_id, *row in cursor:
            by_id[lead_id].rows.append(Row(*row))

    def _change_row(self, lead_id: int, change: RowChange) -> None:
        row_of_lead = (change.row_id, lead_id, change.type_id)
        if change.value is None:
            self.db.execute(
                "DELETE FROM multifield WHERE id = ? AND lead_id = ? AND type_id = ?", row_of_lead
            )
            return
        key = digest(change.type_id, change.value)
        if change.row_id is None:
            self.db.execute(
                "INSERT INTO multifield (lead_id, type_id, value_type, value, digest)"
                " VALUES (?, ?, ?, ?, ?)",
                (lead_id, change.type_id, change.value_type, change.value, key),
            )
            return
        self.db.execute(
            "UPDATE multifield SET value = ?, value_type = coalesce(?, value_type), digest = ?"
            " WHERE id = ? AND lead_id = ? AND type_id = ?",
            (change.value, change.value_type or None, key, *row_of_lead),
        )


def _dump(data: dict[str, str | None]) -> str:
    return json.dumps(data, ensure_ascii=False)

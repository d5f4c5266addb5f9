"""CRM objects in the portal's database: a table for each type, all with the same columns."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.entities.database import TABLES, connect, create_table
from emulator.entities.entity import Entity
from emulator.entities.multifields import Row, RowChange, digest

#: A pattern of GLOB for the tables of smart processes.
_PROCESS_TABLES = "dynamic_[0-9]*[0-9]"


@dataclass
class Item:
    """An object: its fields that have a value, by upper-case name, and its multifield rows."""

    id: int
    data: dict[str, Any]
    rows: list[Row] = field(default_factory=list)


class Store:
    """The portal's database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = connect(path)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def clear(self) -> None:
        """Delete all rows, and the tables of smart processes; ids restart at 1."""
        with self.transaction():
            processes = self.db.execute(
                "SELECT name FROM sqlite_master WHERE name GLOB ?", (_PROCESS_TABLES,)
            )
            for (table,) in processes.fetchall():
                self.db.execute(f"DROP TABLE {table}")
            for table in TABLES:
                self.db.execute(f"DELETE FROM {table}")  # noqa: S608 (our own names)
            self.db.execute("DELETE FROM sqlite_sequence")

    def create_table(self, entity: Entity) -> None:
        """Create the table of a type of objects, if there is none."""
        create_table(self.db, entity.table)

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

    def insert(self, entity: Entity, data: dict[str, Any]) -> int:
        """Insert an object; returns its id."""
        cursor = self.db.execute(
            f"INSERT INTO {entity.table} (data) VALUES (?)",  # noqa: S608 (our own names)
            (_dump(data),),
        )
        return int(cursor.lastrowid or 0)

    def save(self, entity: Entity, item_id: int, data: dict[str, Any]) -> None:
        """Replace an object's fields with `data`."""
        self.db.execute(
            f"UPDATE {entity.table} SET data = ? WHERE id = ?",  # noqa: S608 (our own names)
            (_dump(data), item_id),
        )

    def change_rows(self, entity: Entity, item_id: int, changes: Sequence[RowChange]) -> list[Row]:
        """Add, change and delete multifield rows; returns those added.

        Rows of other objects stay as they are.
        """
        rows = [self._change_row(entity, item_id, change) for change in changes]
        return [row for row in rows if row is not None]

    def hide_rows(self, entity: Entity, item_id: int) -> None:
        """Hide the multifield rows of a new object: with a negative type, no call finds them."""
        self.db.execute(
            "UPDATE multifield SET entity = -entity WHERE owner_id = ? AND entity = ?",
            (item_id, entity.type_id),
        )

    def show_rows(self, type_id: int, item_id: int) -> None:
        """Show hidden multifield rows."""
        self.db.execute(
            "UPDATE multifield SET entity = -entity WHERE owner_id = ? AND entity = ?",
            (item_id, -type_id),
        )

    def record_write(
        self, entity: Entity, item_id: int, time: float, method: str, fields: object
    ) -> None:
        """Enter a write in the object's history."""
        self.db.execute(
            "INSERT INTO write (entity, owner_id, time, method, fields) VALUES (?, ?, ?, ?, ?)",
            (entity.type_id, item_id, time, method, _dump(fields)),
        )

    def delete(self, entity: Entity, item_id: int) -> None:
        """Delete an object with its rows and histories."""
        self.db.execute(
            f"DELETE FROM {entity.table} WHERE id = ?",  # noqa: S608 (our own names)
            (item_id,),
        )
        for table in ("multifield", "write", "stage_history", "product_row"):
            self.db.execute(
                f"DELETE FROM {table} WHERE owner_id = ? AND entity = ?",  # noqa: S608
                (item_id, entity.type_id),
            )

    def get(self, entity: Entity, item_id: int) -> Item | None:
        """An object with its rows, or None."""
        found = self.find(entity, "WHERE id = ?", (item_id,))
        return found[0] if found else None

    def find(
        self, entity: Entity, tail: str, values: Sequence[Any], *, with_rows: bool = True
    ) -> list[Item]:
        """The objects that `tail` selects: our own WHERE, ORDER BY and LIMIT clauses."""
        cursor = self.db.execute(
            f"SELECT id, data FROM {entity.table} {tail}",  # noqa: S608 (our own clauses)
            values,
        )
        items = [Item(item_id, json.loads(data)) for item_id, data in cursor]
        if with_rows and items and entity.has_multifields:
            self._attach_rows(entity, items)
        return items

    def count(self, entity: Entity, tail: str = "", values: Sequence[Any] = ()) -> int:
        """The number of objects that `tail` selects: our own WHERE clause, or "" for all."""
        row = self.db.execute(
            f"SELECT count(*) FROM {entity.table} {tail}",  # noqa: S608 (our own clauses)
            values,
        ).fetchone()
        return int(row[0])

    def histories(self, entity: Entity, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """The writes of objects in order, by id: `time`, `method`, `fields` as sent."""
        found: dict[int, list[dict[str, Any]]] = {item_id: [] for item_id in ids}
        cursor = self.db.execute(
            "SELECT owner_id, time, method, fields FROM write"
            " WHERE owner_id IN (SELECT value FROM json_each(?)) AND entity = ? ORDER BY id",
            (json.dumps(list(ids)), entity.type_id),
        )
        for owner_id, time, method, fields in cursor:
            found[owner_id].append({"time": time, "method": method, "fields": json.loads(fields)})
        return found

    def _attach_rows(self, entity: Entity, items: list[Item]) -> None:
        by_id = {item.id: item for item in items}
        cursor = self.db.execute(
            "SELECT owner_id, id, type_id, value_type, value FROM multifield"
            " WHERE owner_id IN (SELECT value FROM json_each(?)) AND entity = ? ORDER BY id",
            (json.dumps(list(by_id)), entity.type_id),
        )
        for owner_id, *row in cursor:
            by_id[owner_id].rows.append(Row(*row))

    def _change_row(self, entity: Entity, item_id: int, change: RowChange) -> Row | None:
        """Add, change or delete a row of this object; returns it if it was added."""
        row_of_item = (change.row_id, item_id, entity.type_id, change.type_id)
        if change.value is None:
            self.db.execute(
                "DELETE FROM multifield"
                " WHERE id = ? AND owner_id = ? AND entity = ? AND type_id = ?",
                row_of_item,
            )
            return None
        key = digest(change.type_id, change.value)
        if change.row_id is not None:
            changed = self.db.execute(
                "UPDATE multifield SET value = ?, value_type = coalesce(?, value_type), digest = ?"
                " WHERE id = ? AND owner_id = ? AND entity = ? AND type_id = ?",
                (change.value, change.value_type or None, key, *row_of_item),
            ).rowcount
            if changed or not change.adds_if_gone:
                return None
        value_type = change.value_type or "WORK"
        cursor = self.db.execute(
            "INSERT INTO multifield (entity, owner_id, type_id, value_type, value, digest)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (entity.type_id, item_id, change.type_id, value_type, change.value, key),
        )
        return Row(int(cursor.lastrowid or 0), change.type_id, value_type, change.value)


def _dump(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)

"""CRM directories: stages, sources, types and others, each item a row of crm.status.list.

Documentation: crm/status/. The items of DEAL_STAGE and SOURCE are those of its examples.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from emulator.entities.setup.directory_item import DirectoryItem
from emulator.entities.setup.initial_directories import initial_directories
from emulator.entities.store import Store


class Directories:
    """The directories of this portal, kept in memory; a change is stored at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[int, DirectoryItem] = {}
        #: The items by directory and by code, each directory in its order.
        self._items: dict[str, dict[str, DirectoryItem]] = {}
        self.load()

    def load(self) -> None:
        """Read all directories from the store; a new portal gets its initial ones."""
        rows = self._store.db.execute("SELECT id, data FROM status ORDER BY id").fetchall()
        if rows:
            self._rows = {
                row_id: DirectoryItem(row_id, **json.loads(data)) for row_id, data in rows
            }
        else:
            self._rows = {item.id: item for item in initial_directories()}
            with self._store.transaction():
                for item in self._rows.values():
                    self._save(item)
        self._index()
        # A file of an earlier version may lack a directory.
        self.add_all(item for item in initial_directories() if item.entity_id not in self._items)

    def all(self) -> list[DirectoryItem]:
        """All items by id."""
        return list(self._rows.values())

    def items(self, entity_id: str) -> list[DirectoryItem]:
        """The items of one directory in their order."""
        return list(self._items.get(entity_id, {}).values())

    def get(self, item_id: int) -> DirectoryItem | None:
        """An item by its id."""
        return self._rows.get(item_id)

    def first(self, entity_id: str) -> str:
        """The code of a directory's first item; empty if it has none."""
        return next(iter(self._items.get(entity_id, {})), "")

    def has(self, entity_id: str, code: str) -> bool:
        """Whether a directory has this code."""
        return code in self._items.get(entity_id, {})

    def semantics(self, entity_id: str, code: str) -> str:
        """The group of a stage: P in progress, S success, F failure; P for an unknown code."""
        stage = self._items.get(entity_id, {}).get(code)
        return (stage.semantics if stage else "") or "P"

    def add(self, item: DirectoryItem) -> int:
        """Add an item under a new id; returns the id."""
        row_id = max(self._rows, default=100) + 2  # two apart, as on real portals
        self.put(replace(item, id=row_id))
        return row_id

    def add_all(self, items: Iterable[DirectoryItem]) -> None:
        """Add several items under new ids."""
        for item in list(items):
            self.add(item)

    def put(self, item: DirectoryItem) -> None:
        """Add or replace an item."""
        self._rows[item.id] = item
        self._save(item)
        self._index()

    def delete(self, item: DirectoryItem) -> None:
        """Delete an item."""
        del self._rows[item.id]
        self._store.db.execute("DELETE FROM status WHERE id = ?", (item.id,))
        self._index()

    def _save(self, item: DirectoryItem) -> None:
        data: dict[str, Any] = {name: value for name, value in vars(item).items() if name != "id"}
        self._store.db.execute(
            "INSERT OR REPLACE INTO status (id, data) VALUES (?, ?)",
            (item.id, json.dumps(data, ensure_ascii=False)),
        )

    def _index(self) -> None:
        self._items = {}
        for item in sorted(self._rows.values(), key=lambda row: (row.sort, row.id)):
            self._items.setdefault(item.entity_id, {})[item.status] = item

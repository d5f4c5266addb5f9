"""The recycle bin: deleted objects with their multifield rows, until they are restored."""

import json
from dataclasses import dataclass
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.multifields import RowChange
from emulator.entities.setup.types import Types
from emulator.entities.store import Item, Store


@dataclass(frozen=True)
class DeletedItem:
    """A deleted object; `id` is its number in the bin, `item_id` the id that it had."""

    id: int
    entity: Entity
    item_id: int
    time: str
    data: dict[str, Any]
    rows: list[RowChange]


class RecycleBin:
    """Deleted objects of all types."""

    def __init__(self, store: Store, types: Types) -> None:
        self._store = store
        self._types = types

    def put(self, entity: Entity, item: Item, time: str) -> None:
        """Add an object that is being deleted."""
        rows = [[row.type_id, row.value, row.value_type] for row in item.rows]
        self._store.db.execute(
            "INSERT INTO deleted (entity, owner_id, time, data, rows) VALUES (?, ?, ?, ?, ?)",
            (entity.type_id, item.id, time, _dump(item.data), _dump(rows)),
        )

    def all(self, limit: int = 500) -> list[DeletedItem]:
        """The objects deleted last, newest first."""
        return self._read("ORDER BY id DESC LIMIT ?", limit)

    def take(self, deleted_id: int) -> DeletedItem | None:
        """Remove an object from the bin and return it; None if the bin does not have it."""
        found = self._read("WHERE id = ?", deleted_id)
        self._store.db.execute("DELETE FROM deleted WHERE id = ?", (deleted_id,))
        return found[0] if found else None

    def _read(self, tail: str, value: int) -> list[DeletedItem]:
        cursor = self._store.db.execute(
            f"SELECT id, entity, owner_id, time, data, rows FROM deleted {tail}",  # noqa: S608
            (value,),
        )
        return [
            DeletedItem(
                number,
                entity,
                item_id,
                time,
                json.loads(data),
                [RowChange(*row) for row in json.loads(rows)],
            )
            for number, type_id, item_id, time, data, rows in cursor
            if (entity := self._types.get(type_id))
        ]


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

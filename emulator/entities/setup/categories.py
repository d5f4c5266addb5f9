"""Pipelines (categories) of deals, invoices and smart processes.

Documentation: crm/universal/category/.

Pipelines of deals have their own sequence of ids.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from emulator.entities.entity import DEAL, INVOICE, Entity
from emulator.entities.setup.directories import Directories
from emulator.entities.setup.initial_directories import initial_stages
from emulator.entities.store import Store


@dataclass(frozen=True)
class Category:
    """A pipeline; the one with id 0 is the general one of deals, which cannot be deleted."""

    id: int
    name: str
    sort: int = 200
    is_default: bool = False
    origin_id: str = ""
    originator_id: str = ""
    type_id: int = DEAL.type_id

    @property
    def key(self) -> tuple[int, int]:
        """The key that identifies the pipeline."""
        return self.type_id, self.id

    def row(self) -> dict[str, Any]:
        """The pipeline as crm.category.get returns it."""
        row = {
            "id": self.id,
            "name": self.name,
            "sort": self.sort,
            "entityTypeId": self.type_id,
            "isDefault": "Y" if self.is_default else "N",
        }
        if self.id and self.type_id == DEAL.type_id:
            row |= {"originId": self.origin_id, "originatorId": self.originator_id}
        return row


class Categories:
    """The pipelines of this portal; each new one gets the usual stages of its type."""

    def __init__(self, store: Store, directories: Directories) -> None:
        self._store = store
        self._directories = directories
        self._rows: dict[tuple[int, int], Category] = {}
        self.load()

    def load(self) -> None:
        """Read the pipelines from the store."""
        general = Category(id=0, name="General", sort=300, is_default=True)
        self._rows = {general.key: general}
        for table in ("category", "pipeline"):
            rows = self._store.db.execute(f"SELECT id, data FROM {table} ORDER BY id")  # noqa: S608
            for row_id, data in rows:  # among them the general one, if it was changed
                category = Category(row_id, **json.loads(data))
                self._rows[category.key] = category
        if not self.all(INVOICE):
            self.add(INVOICE, Category(id=0, name="General", is_default=True))

    def all(self, entity: Entity = DEAL) -> list[Category]:
        """All pipelines of a type in their order."""
        found = [category for category in self._rows.values() if category.type_id == entity.type_id]
        return sorted(found, key=lambda category: (category.sort, category.id))

    def get(self, entity: Entity, category_id: int) -> Category | None:
        """A pipeline by its id."""
        return self._rows.get((entity.type_id, category_id))

    def default(self, entity: Entity) -> Category:
        """The pipeline of objects that name none."""
        categories = self.all(entity)
        return next((category for category in categories if category.is_default), categories[0])

    def add(self, entity: Entity, category: Category) -> Category:
        """Add a pipeline with the usual stages of its type; returns it with the id that it got."""
        table = _table(entity.type_id)
        last = self._store.db.execute(f"SELECT max(id) FROM {table}").fetchone()[0]  # noqa: S608
        added = replace(category, id=(last or 0) + 1, type_id=entity.type_id)
        self.put(added)
        self._directories.add_all(initial_stages(entity, added.id))
        return added

    def put(self, category: Category) -> None:
        """Add or replace a pipeline; if it is the default, no other pipeline of its type is."""
        if category.is_default:
            for other in list(self._rows.values()):
                is_same_type = other.type_id == category.type_id
                if is_same_type and other.id != category.id and other.is_default:
                    self._save(replace(other, is_default=False))
        self._save(category)

    def delete(self, entity: Entity, category: Category) -> None:
        """Delete a pipeline and its stages."""
        for stage in self._directories.items(entity.directory(category.id)):
            self._directories.delete(stage)
        table = _table(category.type_id)
        self._store.db.execute(f"DELETE FROM {table} WHERE id = ?", (category.id,))  # noqa: S608
        del self._rows[category.key]

    def _save(self, category: Category) -> None:
        self._rows[category.key] = category
        data = {name: value for name, value in vars(category).items() if name != "id"}
        self._store.db.execute(
            f"INSERT OR REPLACE INTO {_table(category.type_id)} (id, data)"  # noqa: S608
            " VALUES (?, ?)",
            (category.id, json.dumps(data, ensure_ascii=False)),
        )


def _table(type_id: int) -> str:
    """The table of a type's pipelines, each of which numbers its rows."""
    return "category" if type_id == DEAL.type_id else "pipeline"

"""Pipelines of deals. Documentation: crm/universal/category/."""

import json
from dataclasses import dataclass, replace
from typing import Any

from emulator.entities.entity import DEAL
from emulator.entities.statuses import Directories, usual
from emulator.entities.store import Store


@dataclass(frozen=True)
class Category:
    """A pipeline; 0 is the general one, which cannot be deleted."""

    id: int
    name: str
    sort: int = 200
    is_default: bool = False
    origin_id: str = ""
    originator_id: str = ""

    def shown(self) -> dict[str, Any]:
        """As crm.category.get returns it."""
        origin = {"originId": self.origin_id, "originatorId": self.originator_id}
        return {
            "id": self.id,
            "name": self.name,
            "sort": self.sort,
            "entityTypeId": DEAL.type_id,
            "isDefault": "Y" if self.is_default else "N",
            **(origin if self.id else {}),
        }


class Categories:
    """The pipelines of this portal; a new one gets the stages of the general one."""

    def __init__(self, store: Store, directories: Directories) -> None:
        self._store = store
        self._directories = directories
        self._rows: dict[int, Category] = {}
        self.load()

    def load(self) -> None:
        """Read the pipelines again."""
        rows = self._store.db.execute("SELECT id, data FROM category ORDER BY id")
        self._rows = {0: Category(0, "General", 300, is_default=True)}
        for row_id, data in rows:  # the general one is stored once it was changed
            self._rows[row_id] = Category(row_id, **json.loads(data))

    def all(self) -> list[Category]:
        """All pipelines in their order."""
        return sorted(self._rows.values(), key=lambda category: (category.sort, category.id))

    def get(self, category_id: int) -> Category | None:
        """A pipeline by its id."""
        return self._rows.get(category_id)

    def add(self, category: Category) -> Category:
        """Add a pipeline, whose id is given here, with its stages."""
        row_id = max(self._rows) + 1
        made = replace(category, id=row_id)
        self.put(made)
        for stage in usual():
            if stage.entity_id == DEAL.stages:
                self._directories.add(
                    replace(
                        stage,
                        entity_id=f"{DEAL.stages}_{row_id}",
                        status=f"C{row_id}:{stage.status}",
                        category_id=row_id,
                    )
                )
        return made

    def put(self, category: Category) -> None:
        """Add or replace a pipeline; one that becomes the default takes that from the others."""
        if category.is_default:
            for other in self.all():
                if other.is_default and other.id != category.id:
                    self._save(replace(other, is_default=False))
        self._save(category)

    def delete(self, category: Category) -> None:
        """Delete a pipeline and its stages."""
        for stage in self._directories.items(f"{DEAL.stages}_{category.id}"):
            self._directories.delete(stage)
        self._store.db.execute("DELETE FROM category WHERE id = ?", (category.id,))
        del self._rows[category.id]

    def _save(self, category: Category) -> None:
        self._rows[category.id] = category
        data = {name: value for name, value in vars(category).items() if name != "id"}
        self._store.db.execute(
            "INSERT OR REPLACE INTO category (id, data) VALUES (?, ?)",
            (category.id, json.dumps(data, ensure_ascii=False)),
        )

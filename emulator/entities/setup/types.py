"""The types of objects of this portal: those of every portal, and its smart processes.

Documentation: crm/universal/user-defined-object-types/.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.entities.entity import BUILT_IN, Entity
from emulator.entities.fields.smart_processes import fields
from emulator.entities.store import Store


@dataclass(frozen=True)
class SmartProcess:
    """A smart process: its number, its settings in camel case, and the type of its items."""

    id: int
    settings: Mapping[str, Any]
    entity: Entity

    @property
    def relations(self) -> Mapping[str, Any]:
        """The types of the `parent` and of the `child` objects."""
        found = self.settings.get("relations")
        return found if isinstance(found, Mapping) else {}


class Types:
    """All types by their entityTypeId; a change is stored at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._processes: dict[int, SmartProcess] = {}
        self._types: dict[int, Entity] = {}
        self.load()

    def load(self) -> None:
        """Read the smart processes from the store."""
        self._types = {entity.type_id: entity for entity in BUILT_IN}
        self._processes = {}
        cursor = self._store.db.execute("SELECT id, data FROM smart_process ORDER BY id")
        for process_id, data in cursor.fetchall():
            self._register(process_id, json.loads(data))

    def get(self, type_id: int | None) -> Entity | None:
        """A type by its entityTypeId."""
        return self._types.get(type_id or 0)

    def all(self) -> list[Entity]:
        """All types."""
        return list(self._types.values())

    def processes(self) -> list[SmartProcess]:
        """All smart processes by their number."""
        return list(self._processes.values())

    def process(self, process_id: int | None) -> SmartProcess | None:
        """A smart process by its number."""
        return self._processes.get(process_id or 0)

    def add(self, settings: Mapping[str, Any]) -> SmartProcess:
        """Add a smart process."""
        cursor = self._store.db.execute("INSERT INTO smart_process (data) VALUES ('{}')")
        return self.change(int(cursor.lastrowid or 0), settings)

    def change(self, process_id: int, settings: Mapping[str, Any]) -> SmartProcess:
        """Replace the settings of a smart process."""
        self._store.db.execute(
            "UPDATE smart_process SET data = ? WHERE id = ?",
            (json.dumps(settings, ensure_ascii=False), process_id),
        )
        return self._register(process_id, settings)

    def delete(self, process: SmartProcess) -> None:
        """Delete a smart process that has no items."""
        self._store.db.execute("DELETE FROM smart_process WHERE id = ?", (process.id,))
        self._store.db.execute(f"DROP TABLE IF EXISTS {process.entity.table}")
        del self._processes[process.id]
        del self._types[process.entity.type_id]

    def _register(self, process_id: int, settings: Mapping[str, Any]) -> SmartProcess:
        process = SmartProcess(process_id, settings, _entity(process_id, settings))
        self._processes[process_id] = process
        self._types[process.entity.type_id] = process.entity
        self._store.create_table(process.entity)
        return process


def _entity(process_id: int, settings: Mapping[str, Any]) -> Entity:
    """The type of a smart process's items."""
    type_id = int(settings["entityTypeId"])
    name = f"DYNAMIC_{type_id}"
    has_stages = settings.get("isStagesEnabled") == "Y"
    has_source = settings.get("isSourceEnabled") == "Y"
    return Entity(
        type_id=type_id,
        name=name,
        title=str(settings["title"]),
        prefix=f"T{type_id:x}",  # as on real portals: T and the type in hexadecimal
        fields=fields(settings, f"{name}_STAGE_{settings.get('categoryId') or 0}"),
        stage_field="STAGE_ID" if has_stages else "",
        semantics_field="STAGE_SEMANTIC_ID" if has_stages else "",
        stage_directory=f"{name}_STAGE",
        has_multifields=False,
        first_entry_defaults=(("SOURCE_ID", "SOURCE"),) if has_source else (),
        has_stages_per_pipeline=True,
        has_editable_pipelines=settings.get("isCategoriesEnabled") == "Y",
        process_id=process_id,
    )

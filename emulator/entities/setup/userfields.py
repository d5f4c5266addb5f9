"""User fields: their definitions, as crm.lead.userfield.get returns them, and as fields.

Documentation: crm/leads/userfield/.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import Field, camel_name, parent_field
from emulator.entities.fields.kinds import to_stored
from emulator.entities.schema import Schema
from emulator.entities.setup.types import SmartProcess, Types
from emulator.entities.store import Store

#: The languages of a user field's labels.
LANGUAGES = [
    "ar",
    "br",
    "de",
    "en",
    "fr",
    "hi",
    "id",
    "in",
    "it",
    "ja",
    "kz",
    "la",
    "ms",
    "pl",
    "ru",
    "sc",
    "tc",
    "th",
    "tr",
    "ua",
    "vn",
]
LABELS = (
    "EDIT_FORM_LABEL",
    "LIST_COLUMN_LABEL",
    "LIST_FILTER_LABEL",
    "ERROR_MESSAGE",
    "HELP_MESSAGE",
)
#: The settings of each type, with their defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "string": {
        "SIZE": 20,
        "ROWS": 1,
        "REGEXP": "",
        "MIN_LENGTH": 0,
        "MAX_LENGTH": 0,
        "DEFAULT_VALUE": "",
    },
    "integer": {"SIZE": 20, "MIN_VALUE": 0, "MAX_VALUE": 0, "DEFAULT_VALUE": None},
    "double": {
        "PRECISION": 2,
        "SIZE": 20,
        "MIN_VALUE": 0,
        "MAX_VALUE": 0,
        "DEFAULT_VALUE": None,
    },
    "boolean": {
        "DEFAULT_VALUE": 0,
        "DISPLAY": "CHECKBOX",
        "LABEL": ["", ""],
        "LABEL_CHECKBOX": "",
    },
    "date": {"DEFAULT_VALUE": {"TYPE": "NONE", "VALUE": ""}},
    "datetime": {"DEFAULT_VALUE": {"TYPE": "NONE", "VALUE": ""}},
    "enumeration": {
        "DISPLAY": "LIST",
        "LIST_HEIGHT": 1,
        "CAPTION_NO_VALUE": "",
        "SHOW_NO_VALUE": "Y",
    },
    "url": {
        "POPUP": "Y",
        "SIZE": 20,
        "MIN_LENGTH": 0,
        "MAX_LENGTH": 0,
        "DEFAULT_VALUE": "",
        "ROWS": 1,
    },
    "money": {"DEFAULT_VALUE": ""},
    "crm_status": {"ENTITY_TYPE": ""},
    "crm": {"LEAD": "Y", "CONTACT": "N", "COMPANY": "N", "DEAL": "N"},
    "iblock_section": {"IBLOCK_TYPE_ID": "", "IBLOCK_ID": 0, "DEFAULT_VALUE": ""},
    "iblock_element": {"IBLOCK_TYPE_ID": "", "IBLOCK_ID": 0, "DEFAULT_VALUE": ""},
    "file": {
        "SIZE": 20,
        "LIST_WIDTH": 0,
        "LIST_HEIGHT": 0,
        "MAX_SHOW_SIZE": 0,
        "MAX_ALLOWED_SIZE": 0,
        "EXTENSIONS": [],
        "TARGET_BLANK": "Y",
    },
}


@dataclass(frozen=True)
class UserField:
    """A user field of an entity."""

    id: int
    entity: Entity
    definition: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The full name of the field, UF_CRM_…."""
        return str(self.definition["FIELD_NAME"])

    @property
    def is_mandatory(self) -> bool:
        """Whether objects must have a value in this field."""
        return bool(self.definition["MANDATORY"] == "Y")

    def row(self) -> dict[str, Any]:
        """The user field as crm.lead.userfield.get returns it."""
        return {"ID": str(self.id), **self.definition}

    def label(self, name: str = "EDIT_FORM_LABEL") -> str:
        """One of the field's labels in English, or the field's name if it has no such label."""
        labels = self.definition.get(name)
        return str((labels or {}).get("en") or self.name)

    def as_field(self) -> Field:
        """The user field as a field of its entity."""
        kind = self.definition["USER_TYPE_ID"]
        is_multiple = self.definition["MULTIPLE"] == "Y"
        extra: dict[str, Any] = {}
        if kind == "enumeration":
            extra["items"] = [
                {"ID": item["ID"], "VALUE": item["VALUE"]} for item in self.definition["LIST"]
            ]
        if kind == "crm_status":
            extra["statusType"] = self.definition["SETTINGS"].get("ENTITY_TYPE", "")
        extra |= {
            "listLabel": self.label("LIST_COLUMN_LABEL"),
            "formLabel": self.label(),
            "filterLabel": self.label("LIST_FILTER_LABEL"),
            "settings": self.definition["SETTINGS"],
        }
        return Field(
            self.name,
            camel_name(self.name),
            self.label(),
            kind,
            is_multiple=is_multiple,
            is_user_field=True,
            default=self._default(),
            item_default=[] if is_multiple else None,
            initial=self._initial(),
            extra=extra,
        )

    def _default(self) -> Any:
        if self.definition["MULTIPLE"] == "Y":
            return []
        return "0" if self.definition["USER_TYPE_ID"] == "boolean" else None

    def _initial(self) -> Any:
        """The value in a new object if none is sent; not for dates relative to the current day."""
        settings, kind = self.definition["SETTINGS"], self.definition["USER_TYPE_ID"]
        if kind == "enumeration":
            found = [item["ID"] for item in self.definition["LIST"] if item["DEF"] == "Y"]
        else:
            value = settings.get("DEFAULT_VALUE")
            if isinstance(value, dict):
                value = value.get("VALUE") if value.get("TYPE") == "FIXED" else None
            found = [] if value in (None, "") else [to_stored(kind, value, is_user_field=True)]
        if self.definition["MULTIPLE"] == "Y":
            return found or None
        return found[0] if found else None


class Schemas:
    """The schemas of all entities, and the user fields that shape them."""

    def __init__(self, store: Store, types: Types) -> None:
        self._store = store
        self._types = types
        self._user_fields: dict[int, list[UserField]] = {}
        self._schemas: dict[int, Schema] = {}
        self.load()

    def load(self) -> None:
        """Read all user fields from the store, and build the schemas."""
        entities = self._types.all()
        self._user_fields = {entity.type_id: [] for entity in entities}
        cursor = self._store.db.execute("SELECT id, entity, definition FROM user_field ORDER BY id")
        for field_id, type_id, definition in cursor:
            if entity := self._types.get(type_id):
                field = UserField(field_id, entity, json.loads(definition))
                self._user_fields[type_id].append(field)
        self._schemas = {
            entity.type_id: Schema(
                entity,
                [user_field.as_field() for user_field in self._user_fields[entity.type_id]],
                self._parents(entity),
            )
            for entity in entities
        }

    def _parents(self, entity: Entity) -> list[Field]:
        """The fields for the parents of an entity's objects, as smart processes relate them."""
        parents: dict[int, Entity] = {}
        for process in self._types.processes():
            if process.entity.type_id == entity.type_id:
                for parent in self._related(process, "parent"):
                    parents[parent.type_id] = parent
            if any(child.type_id == entity.type_id for child in self._related(process, "child")):
                parents[process.entity.type_id] = process.entity
        return [parent_field(entity.type_id, entity.title) for entity in parents.values()]

    def _related(self, process: SmartProcess, relation: str) -> list[Entity]:
        """The types that a smart process names as `parent` or `child`, without unknown ones."""
        rows = process.relations.get(relation, ())
        return [found for row in rows if (found := self._types.get(row["entityTypeId"]))]

    def __getitem__(self, entity: Entity) -> Schema:
        return self._schemas[entity.type_id]

    def user_fields(self, entity: Entity) -> list[UserField]:
        """An entity's user fields by id."""
        return self._user_fields[entity.type_id]

    def mandatory(self, entity: Entity) -> Iterator[str]:
        """The names of an entity's mandatory user fields."""
        return (field.name for field in self._user_fields[entity.type_id] if field.is_mandatory)

    def add(self, entity: Entity, definition: Mapping[str, Any]) -> int:
        """Add a user field; returns its id."""
        cursor = self._store.db.execute(
            "INSERT INTO user_field (entity, definition) VALUES (?, ?)",
            (entity.type_id, json.dumps(definition, ensure_ascii=False)),
        )
        self.load()
        return int(cursor.lastrowid or 0)

    def change(self, field: UserField, definition: Mapping[str, Any]) -> None:
        """Replace the definition of a user field."""
        self._store.db.execute(
            "UPDATE user_field SET definition = ? WHERE id = ?",
            (json.dumps(definition, ensure_ascii=False), field.id),
        )
        self.load()

    def delete(self, field: UserField) -> None:
        """Delete a user field and its values in all objects."""
        with self._store.transaction():
            self._store.db.execute("DELETE FROM user_field WHERE id = ?", (field.id,))
            self._store.db.execute(
                f"UPDATE {field.entity.table} SET data = json_remove(data, ?)",  # noqa: S608
                (f'$."{field.name}"',),
            )
        self.load()

    def next_item_id(self) -> int:
        """An id for a new item of a list field: unique in the portal."""
        ids = [
            int(item["ID"])
            for fields in self._user_fields.values()
            for field in fields
            for item in field.definition.get("LIST", [])
        ]
        return max(ids, default=42) + 2  # two apart, as on real portals


def generated_xml_id(value: str, item_id: int) -> str:
    """The external code of a list item that came without one."""
    return hashlib.md5(f"{item_id} {value}".encode(), usedforsecurity=False).hexdigest()

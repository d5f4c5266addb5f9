"""The fields of one type of object on this portal: its own and its user fields."""

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import MULTIFIELDS, Field
from emulator.entities.fields.kinds import as_item, as_upper


class Schema:
    """What this portal knows of an entity's fields; made anew when a user field changes."""

    def __init__(self, entity: Entity, user_fields: Iterable[Field]) -> None:
        self.entity = entity
        self.user_fields = {each.name: each for each in user_fields}
        static = [each for each in entity.fields if each.name]
        #: All fields with a value of their own.
        self.fields: dict[str, Field] = {each.name: each for each in static} | self.user_fields
        #: The same by their names in crm.item.*.
        self.camel: dict[str, Field] = {
            each.camel: each for each in self.fields.values() if "i" in each.where
        }
        #: The same, and by the names that end in `upperName`.
        self.searchable: dict[str, Field] = {
            **{each.upper_name: each for each in self.camel.values()},
            **self.camel,
        }
        #: An object without any value in each API.
        self.upper: dict[str, Any] = {
            each.name: each.default if not each.dynamic else as_upper(each.kind, each.default)
            for each in self.fields.values()
            if "g" in each.where
        }
        #: What a new object gets for fields that were not sent.
        self.initial = {
            each.name: each.initial for each in self.fields.values() if each.initial is not None
        }
        self.item = _item_template(entity, self.user_fields)

    def described(self, mandatory: Iterable[str]) -> dict[str, Any]:
        """The result of crm.lead.fields and the like."""
        required = set(mandatory)
        shown = [each for each in self.entity.fields if "f" in each.where]
        many = _multifields(self.entity) if self.entity.has_rows else []
        return {
            each.name: each.described(required=each.name in required)
            for each in [*shown, *many, *self.user_fields.values()]
        }

    def described_items(
        self, mandatory: Iterable[str], *, original_names: bool = False
    ) -> dict[str, Any]:
        """The `fields` of crm.item.fields."""
        required = set(mandatory)
        shown = [each for each in self.entity.fields if "d" in each.where]
        described = {
            each.name if original_names and each.dynamic else each.camel: each.described_item(
                required=each.name in required
            )
            for each in [*shown, *self.user_fields.values()]
        }
        if self.entity.has_rows:
            field = Field("FM", "fm", "Phones, e-mails and others", "crm_multifield", multiple=True)
            described["fm"] = field.described_item(required=bool(required & MULTIFIELDS.keys()))
        return described

    def title(self, name: str) -> str:
        """The name of a field for people."""
        field = self.fields.get(name)
        return field.title if field else MULTIFIELDS.get(name, name)


def _multifields(entity: Entity) -> list[Field]:
    return [
        Field(name, "fm", title, "crm_multifield", multiple=True)
        for name, title in MULTIFIELDS.items()
        if entity.has_rows
    ]


def _item_template(entity: Entity, user_fields: Mapping[str, Field]) -> dict[str, Any]:
    template: dict[str, Any] = {}
    for field in [*entity.fields, *user_fields.values()]:
        if "i" in field.where:
            shown = as_item(field.kind, field.default)
            template[field.camel] = field.item_default if shown is None else shown
    return template

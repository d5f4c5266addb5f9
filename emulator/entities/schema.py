"""The fields of one type of object on this portal: its own and its user fields."""

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import MULTIFIELDS, Field
from emulator.entities.fields.kinds import as_item, as_upper


class Schema:
    """All fields of a type of object on this portal; a new Schema replaces it when they change."""

    def __init__(
        self, entity: Entity, user_fields: Iterable[Field], parents: Iterable[Field] = ()
    ) -> None:
        self.entity = entity
        self.user_fields = {field.name: field for field in user_fields}
        #: The entity's own fields, and those that link it to a parent.
        self.own = (*entity.fields, *parents)
        named_fields = [field for field in self.own if field.name]
        #: All fields that have a name in crm.lead.* and the like.
        self.fields: dict[str, Field] = {
            field.name: field for field in named_fields
        } | self.user_fields
        #: Those of them that crm.item.get returns, by their names in crm.item.*.
        self.by_camel_name: dict[str, Field] = {
            field.camel: field for field in self.fields.values() if "i" in field.where
        }
        #: The same fields by both names: also by what crm.item.fields calls `upperName`.
        self.searchable: dict[str, Field] = {
            **{field.upper_name: field for field in self.by_camel_name.values()},
            **self.by_camel_name,
        }
        #: What crm.lead.get and the like return for an object without values.
        self.upper_template: dict[str, Any] = {
            field.name: as_upper(field.kind, field.default)
            if field.is_user_field
            else field.default
            for field in self.fields.values()
            if "g" in field.where
        }
        #: What crm.item.get returns for an object without values.
        self.item_template = _item_template(self.own, self.user_fields)
        #: The values that a new object gets in fields that were not sent.
        self.initial = {
            field.name: field.initial for field in self.fields.values() if field.initial is not None
        }

    def descriptions(self, mandatory: Iterable[str]) -> dict[str, Any]:
        """The result of crm.lead.fields and the like."""
        required = set(mandatory)
        own_fields = [field for field in self.own if "f" in field.where]
        multifields = _multifields() if self.entity.has_multifields else []
        return {
            field.name: field.description(is_required=field.name in required)
            for field in [*own_fields, *multifields, *self.user_fields.values()]
        }

    def item_descriptions(
        self, mandatory: Iterable[str], *, original_names: bool = False
    ) -> dict[str, Any]:
        """The `fields` of crm.item.fields; with `original_names` user fields keep theirs."""
        required = set(mandatory)
        own_fields = [field for field in self.own if "d" in field.where]
        descriptions = {}
        for field in [*own_fields, *self.user_fields.values()]:
            name = field.name if original_names and field.is_user_field else field.camel
            descriptions[name] = field.item_description(is_required=field.name in required)
        if self.entity.has_multifields:
            field = Field(
                "FM", "fm", "Phones, e-mails and others", "crm_multifield", is_multiple=True
            )
            descriptions["fm"] = field.item_description(
                is_required=bool(required & MULTIFIELDS.keys())
            )
        return descriptions

    def title(self, name: str) -> str:
        """The label of a field."""
        field = self.fields.get(name)
        return field.title if field else MULTIFIELDS.get(name, name)


def _multifields() -> list[Field]:
    return [
        Field(name, "fm", title, "crm_multifield", is_multiple=True)
        for name, title in MULTIFIELDS.items()
    ]


def _item_template(
    entity_fields: Iterable[Field], user_fields: Mapping[str, Field]
) -> dict[str, Any]:
    template: dict[str, Any] = {}
    for field in [*entity_fields, *user_fields.values()]:
        if "i" in field.where:
            default = as_item(field.kind, field.default)
            template[field.camel] = field.item_default if default is None else default
    return template

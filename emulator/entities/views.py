"""An object as crm.lead.* (texts), as crm.item.* (typed values) and as a card of the board."""

from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.fields.field import MULTIFIELDS, ROW_OF_FIELD
from emulator.entities.fields.kinds import as_item, as_upper
from emulator.entities.schema import Schema
from emulator.entities.store import Item

#: What the messenger rows of open channels begin with.
_OPEN_CHANNEL = "imol|"


def upper_row(schema: Schema, item: Item) -> dict[str, Any]:
    """All single-valued fields and user fields, as crm.lead.get and the like return them."""
    values = dict(schema.upper_template)
    for name, value in item.data.items():
        if name in values:
            user_field = schema.user_fields.get(name)
            values[name] = as_upper(user_field.kind, value) if user_field else value
    values["ID"] = str(item.id)
    if schema.entity.has_multifields:
        values["HAS_PHONE"] = _has_row(item, "PHONE")
        values["HAS_EMAIL"] = _has_row(item, "EMAIL")
        values["HAS_IMOL"] = _has_row(item, "IM", _OPEN_CHANNEL)
    return values


def multifields(item: Item) -> dict[str, list[dict[str, str]]]:
    """The rows by type; types without a row are absent."""
    rows_by_type: dict[str, list[dict[str, str]]] = {}
    for row in item.rows:
        if row.type_id in MULTIFIELDS:
            rows_by_type.setdefault(row.type_id, []).append(
                {
                    "ID": str(row.id),
                    "VALUE_TYPE": row.value_type,
                    "VALUE": row.value,
                    "TYPE_ID": row.type_id,
                }
            )
    return rows_by_type


def item_row(schema: Schema, item: Item, *, original_names: bool = False) -> dict[str, Any]:
    """The object as crm.item.* returns it, without `fm`."""
    values = dict(schema.item_template)
    fields = schema.fields
    for name, value in item.data.items():
        field = fields.get(name)
        if field is not None and field.camel in values:
            item_value = as_item(field.kind, value)
            values[field.camel] = field.item_default if item_value is None else item_value
    values["id"] = item.id
    if schema.entity.has_multifields:
        values["hasPhone"] = _has_row(item, "PHONE")
        values["hasEmail"] = _has_row(item, "EMAIL")
        values["hasImol"] = _has_row(item, "IM", _OPEN_CHANNEL)
        values.update(_row_texts(item))
    if original_names:
        for field in schema.user_fields.values():
            values[field.name] = values.pop(field.camel)
    values["entityTypeId"] = schema.entity.type_id
    return values


def fm_rows(item: Item) -> list[dict[str, Any]]:
    """The multifield rows as crm.item.* returns them."""
    return [
        {"id": row.id, "valueType": row.value_type, "value": row.value, "typeId": row.type_id}
        for row in item.rows
    ]


def card(entity: Entity, item: Item) -> dict[str, Any]:
    """The object as a card of the board; its stage is "" if its type has none."""
    phones = [row.value for row in item.rows if row.type_id == "PHONE"]
    names = [item.data[name] for name in ("NAME", "LAST_NAME") if item.data.get(name)]
    return {
        "type": entity.type_id,
        "id": item.id,
        "title": item.data.get("TITLE"),
        "name": " ".join(names) or None,
        "stage": item.data.get(entity.stage_field) if entity.stage_field else "",
        "originator_id": item.data.get("ORIGINATOR_ID"),
        "origin_id": item.data.get("ORIGIN_ID"),
        "phones": phones,
    }


def _has_row(item: Item, type_id: str, prefix: str = "") -> str:
    found = any(row.type_id == type_id and row.value.startswith(prefix) for row in item.rows)
    return "Y" if found else "N"


def _row_texts(item: Item) -> dict[str, str]:
    """`phone`, `emailWork` and the like: the value of the first row of that type."""
    found: dict[str, str] = {}
    for row in item.rows:
        for camel in _CAMEL_BY_ROW.get((row.type_id, row.value_type), ()):
            found.setdefault(camel, row.value)
        for camel in _CAMEL_BY_ROW.get((row.type_id, ""), ()):
            found.setdefault(camel, row.value)
    return found


#: The fields that show a row, by its type and value type.
_CAMEL_BY_ROW: dict[tuple[str, str], list[str]] = {}
for _camel, _row in ROW_OF_FIELD.items():
    _CAMEL_BY_ROW.setdefault(_row, []).append(_camel)

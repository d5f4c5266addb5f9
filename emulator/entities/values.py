"""Turns a client's fields into stored values, or refuses one of them with a reason."""

from collections.abc import Mapping
from typing import Any

from emulator.entities.fields.field import INTEGERS, Field
from emulator.entities.fields.kinds import NotValid, to_stored
from emulator.entities.multifields import positive_int
from emulator.entities.schema import Schema
from emulator.settings import Settings


class Refused(ValueError):
    """A field's value is refused; `code` is that of crm.item.*."""

    def __init__(self, text: str, code: str = "CRM_FIELD_ERROR_VALUE_NOT_VALID") -> None:
        super().__init__(text)
        self.code = code


def writable(
    schema: Schema, sent: Mapping[str, Any], settings: Settings, *, is_item: bool
) -> dict[str, Any]:
    """The known, writable fields of `sent` in their stored form; raises Refused.

    `sent` is by upper-case name. crm.item.* (`is_item`) requires a list for a field of several
    values; the older methods also accept a single value.
    """
    found: dict[str, Any] = {}
    fields = schema.fields
    for name, value in sent.items():
        field = fields.get(name)
        if field is None or field.is_read_only:
            continue
        if field.is_multiple:
            found[name] = _many(field, value, settings, is_item=is_item)
        elif field.kind == "file" or not isinstance(value, dict | list):
            found[name] = _one(field, value, settings)
        elif field.is_dynamic:
            raise _not_valid(field)
    return found


def _many(field: Field, value: Any, settings: Settings, *, is_item: bool) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if value in (None, "", False):
        value = []
    if not isinstance(value, list):
        if is_item:
            name = {"str": "string", "bool": "boolean", "int": "integer", "float": "double"}
            kind = name.get(type(value).__name__, "object")
            text = f"Expected iterable value for multiple field, but got {kind} instead"
            raise Refused(text, "100")
        value = [value]
    texts = [text for text in (_one(field, sent, settings) for sent in value) if text]
    if field.kind in INTEGERS and not field.is_dynamic:
        return [text for text in texts if positive_int(text)]
    return texts


def _one(field: Field, value: Any, settings: Settings) -> str | None:
    try:
        text = _file(value) if field.kind == "file" else None
        if field.kind != "file":
            text = to_stored(field.kind, value, is_dynamic=field.is_dynamic)
    except NotValid:
        raise _not_valid(field) from None
    _require_listed(field, text)
    if text is None and field.default is not None:
        return "0.00" if field.kind == "double" else ""
    if text is None or field.max_length is None or len(text) <= field.max_length:
        return text
    if settings.overlong == "error":
        raise Refused(f'The field "{field.title}" is too long (at most {field.max_length})')
    return text[: field.max_length]


def _file(value: Any) -> str | None:
    """The name of an uploaded file; its content is not stored."""
    if isinstance(value, dict):
        value = value.get("fileData", value.get("id"))
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value in (None, "") else str(value)[:255]


def _require_listed(field: Field, text: str | None) -> None:
    """Raise Refused if a value of a list field is not one of its items."""
    items = field.extra.get("items")
    if items is not None and text and text not in {item["ID"] for item in items}:
        raise _not_valid(field)


def _not_valid(field: Field) -> Refused:
    return Refused(f'Invalid value for field "{field.title}"')

"""Turns a client's fields into stored values, or rejects one of them with a reason."""

from collections.abc import Mapping
from typing import Any

from emulator.entities.fields.field import INTEGERS, Field
from emulator.entities.fields.kinds import InvalidValue, to_stored
from emulator.entities.multifields import positive_int
from emulator.entities.schema import Schema
from emulator.settings import Settings


class RejectedValue(ValueError):
    """A field's value is rejected; `code` is the error code that crm.item.* returns for it."""

    def __init__(self, text: str, code: str = "CRM_FIELD_ERROR_VALUE_NOT_VALID") -> None:
        super().__init__(text)
        self.code = code


def writable_values(
    schema: Schema, sent: Mapping[str, Any], settings: Settings, *, is_item_method: bool
) -> dict[str, Any]:
    """The known, writable fields of `sent` in their stored form; raises RejectedValue.

    `sent` is by upper-case name. crm.item.* (`is_item_method`) requires a list for a field of
    several values; the older methods also accept a single value. An object or list for a field of
    one value is rejected in a user field, and ignored in any other.
    """
    found: dict[str, Any] = {}
    fields = schema.fields
    for name, value in sent.items():
        field = fields.get(name)
        if field is None or field.is_read_only:
            continue
        if field.is_multiple:
            found[name] = _stored_list(field, value, settings, is_item_method=is_item_method)
        elif field.kind == "file" or not isinstance(value, dict | list):
            found[name] = _stored_value(field, value, settings)
        elif field.is_user_field:
            raise _invalid_value(field)
    return found


def _stored_list(
    field: Field, value: Any, settings: Settings, *, is_item_method: bool
) -> list[str]:
    """The stored values of a field with several; raises RejectedValue."""
    if isinstance(value, dict):
        value = list(value.values())
    if value in (None, "", False):
        value = []
    if not isinstance(value, list):
        if is_item_method:
            php_names = {"str": "string", "bool": "boolean", "int": "integer", "float": "double"}
            kind = php_names.get(type(value).__name__, "object")
            text = f"Expected iterable value for multiple field, but got {kind} instead"
            raise RejectedValue(text, "100")
        value = [value]
    texts = [text for text in (_stored_value(field, sent, settings) for sent in value) if text]
    if field.kind in INTEGERS and not field.is_user_field:
        return [text for text in texts if positive_int(text)]
    return texts


def _stored_value(field: Field, value: Any, settings: Settings) -> str | None:
    """A value in its stored form, cut to the field's length; raises RejectedValue."""
    try:
        if field.kind == "file":
            text = _file_name(value)
        else:
            text = to_stored(field.kind, value, is_user_field=field.is_user_field)
    except InvalidValue:
        raise _invalid_value(field) from None
    _require_listed(field, text)
    if text is None and field.default is not None:  # emptied; only a field never set has a default
        return "0.00" if field.kind == "double" else ""
    if text is None or field.max_length is None or len(text) <= field.max_length:
        return text
    if settings.overlong == "error":
        raise RejectedValue(f'The field "{field.title}" is too long (at most {field.max_length})')
    return text[: field.max_length]


def _file_name(value: Any) -> str | None:
    """The name of an uploaded file; its content is not stored."""
    if isinstance(value, dict):
        value = value.get("fileData", value.get("id"))
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value in (None, "") else str(value)[:255]


def _require_listed(field: Field, text: str | None) -> None:
    """Raise RejectedValue if a value of a list field is not one of its items."""
    items = field.extra.get("items")
    if items is not None and text and text not in {item["ID"] for item in items}:
        raise _invalid_value(field)


def _invalid_value(field: Field) -> RejectedValue:
    return RejectedValue(f'Invalid value for field "{field.title}"')

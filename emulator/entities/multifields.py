"""Multifields: phones, e-mails and the like of an object, rows that are addressed by their id.

A row without an id is always added and never replaces another one, even with the same value.
"""

from dataclasses import dataclass
from typing import Any

from emulator.entities.fields.field import MULTIFIELDS

_TEXT_MAX = 250


@dataclass(frozen=True)
class Row:
    """A stored row: `type_id` is PHONE, EMAIL and so on, `value_type` WORK, MOBILE and so on."""

    id: int
    type_id: str
    value_type: str
    value: str


@dataclass(frozen=True)
class RowChange:
    """A row to add (`row_id` None), change, or delete (`value` None).

    A change of a row that the object does not have adds one if `adds_if_gone`, else does nothing.
    Without a `value_type` a changed row keeps its own.
    """

    type_id: str
    value: str | None
    value_type: str | None = None
    row_id: int | None = None
    adds_if_gone: bool = False


def from_upper_fields(fields: dict[str, Any]) -> list[RowChange]:
    """The row changes in PHONE, EMAIL… of crm.lead.add, crm.contact.update and the like."""
    return [
        change
        for type_id in MULTIFIELDS
        for sent in _elements(fields.get(type_id))
        if (change := _upper_row(type_id, sent)) is not None
    ]


def from_item_fm(fm: object) -> list[RowChange]:
    """The row changes in `fm` of crm.item.*: a list adds; the keys of an object are row ids.

    A key of a row that the object does not have adds one (tutorials/crm/how-to-edit-crm-objects/
    how-to-change-email-or-phone.md). An object keyed 0…n-1 is a list, as in PHP.
    """
    if isinstance(fm, dict) and list(fm) != [str(index) for index in range(len(fm))]:
        changes = [_item_row(key, sent) for key, sent in fm.items()]
    else:  # the portal ignores a text, without an error
        changes = [_item_row(None, sent) for sent in _elements(fm)]
    return [change for change in changes if change is not None]


def _elements(value: object) -> list[Any]:
    """The elements of a list, or of an object, as which PHP's arrays may arrive."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _upper_row(type_id: str, sent: object) -> RowChange | None:
    """The change that an element of PHONE, EMAIL… asks for; None if it asks for none."""
    if not isinstance(sent, dict):
        return None
    value = _text(sent.get("VALUE"))
    row_id = positive_int(sent.get("ID"))
    if row_id is None:
        return RowChange(type_id, value, _text(sent.get("VALUE_TYPE")) or "WORK") if value else None
    if sent.get("DELETE") == "Y" or not value:
        return RowChange(type_id, value=None, row_id=row_id)
    return RowChange(type_id, value, _text(sent.get("VALUE_TYPE")), row_id)


def _item_row(key: str | None, sent: object) -> RowChange | None:
    """The change that an element of `fm` asks for, by its key if it has one; None for none."""
    type_id = _text(sent.get("typeId")) if isinstance(sent, dict) else ""
    if not isinstance(sent, dict) or not type_id:
        return None  # without typeId the call succeeds and does nothing
    value, value_type = _text(sent.get("value")), _text(sent.get("valueType"))
    if key is None or key.startswith("n"):  # keys n0, n1… mark new rows
        return RowChange(type_id, value, value_type or "WORK") if value else None
    row_id = positive_int(key)
    if row_id is None:
        return None
    return RowChange(
        type_id, value or None, value_type if value else None, row_id, adds_if_gone=True
    )


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:_TEXT_MAX]


def positive_int(value: object) -> int | None:
    """A positive 64-bit integer from a number or decimal text, else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**63 else None


def digest(type_id: str, value: str) -> str:
    """The key by which duplicates are found: the digits of a phone, else the lower-case text."""
    if type_id != "PHONE":
        return value.strip().lower()
    number = value.lower().partition("ext")[0].partition(";")[0]  # without the extension
    return "".join(character for character in number if character.isdigit())

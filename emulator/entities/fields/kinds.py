"""Conversion of values by the type of their field: as sent, to stored, to what each API returns.

A value is stored as text, or as a list of texts in a field with several values; an empty one is
`""` or None.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from emulator.clock import iso, portal_iso
from emulator.entities.fields.field import INTEGERS


class InvalidValue(ValueError):
    """The value is not valid for the type of its field."""


_EMPTY = (None, "", False)  # and 0, which equals False
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)|(\d\d)\.(\d\d)\.(\d{4})")


def to_stored(kind: str, value: Any, *, is_user_field: bool = False) -> str | None:
    """A client's value as stored, by the rules for user fields or others; raises InvalidValue."""
    reader = _USER_FIELD_READERS.get(kind) if is_user_field else _READERS.get(kind)
    if reader is not None:
        return reader(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


def as_upper(kind: str, value: Any) -> Any:
    """The stored value of a user field as crm.lead.get and the like return it."""
    if isinstance(value, list):
        return [as_upper(kind, item) for item in value]
    if kind == "boolean":
        return value == "1"
    return value


def as_item(kind: str, value: Any) -> Any:
    """A stored value as crm.item.get returns it."""
    if isinstance(value, list):
        return [as_item(kind, item) for item in value]
    if value is None or value == "":
        return None
    if kind in _ITEM_INTEGERS:
        return int(value) if value.lstrip("-").isdigit() else 0
    if kind == "double":
        number = float(value)
        return int(number) if number.is_integer() else number
    if kind == "boolean":
        return "Y" if value == "1" else "N"
    return value


def _double(value: Any) -> str | None:
    """The amount with two decimals; anything but a number counts as 0."""
    if value is None:
        return None
    try:
        amount = float(value)
    except (TypeError, ValueError, OverflowError):
        return "0.00"
    return f"{amount:.2f}" if math.isfinite(amount) else "0.00"


def _user_field_double(value: Any) -> str | None:
    """A number as text, a whole one without decimals; raises InvalidValue."""
    if value in _EMPTY:
        return None
    try:
        amount = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValue from None
    if not math.isfinite(amount):
        raise InvalidValue
    return str(int(amount)) if amount.is_integer() and abs(amount) < 2**53 else str(amount)


def _user_field_integer(value: Any) -> str | None:
    """A whole number as text; raises InvalidValue."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise InvalidValue
    return str(int(text))


def _user_field_boolean(value: Any) -> str | None:
    if value is None or value == "":
        return None
    is_true = value in (True, 1, "1", "Y", "y", "true", "on")
    return "1" if is_true else "0"


def _date(value: Any) -> str | None:
    """Midnight UTC of a day, as the portal shows its dates."""
    if value in _EMPTY:
        return ""
    found = _DAY.match(str(value).strip())
    if found is None:
        raise InvalidValue
    year, month, day = found.group(1, 2, 3) if found.group(1) else found.group(6, 5, 4)
    try:
        return iso(datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        raise InvalidValue from None


def _datetime(value: Any) -> str | None:
    if value in _EMPTY:
        return ""
    text = portal_iso(str(value).strip())
    if text is None:
        raise InvalidValue
    return text


def _text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise InvalidValue
    return None if value is None else str(value)


_READERS: dict[str, Callable[[Any], str | None]] = {"double": _double, "date": _date}
_USER_FIELD_READERS: dict[str, Callable[[Any], str | None]] = {
    "string": _text,
    "url": _text,
    "money": _text,
    "address": _text,
    "file": _text,
    "crm": _text,
    "crm_status": _text,
    "integer": _user_field_integer,
    "enumeration": _user_field_integer,
    "employee": _user_field_integer,
    "iblock_section": _user_field_integer,
    "iblock_element": _user_field_integer,
    "double": _user_field_double,
    "boolean": _user_field_boolean,
    "date": _date,
    "datetime": _datetime,
}
_ITEM_INTEGERS = INTEGERS | {"enumeration", "iblock_section", "iblock_element"}
#: The types that crm.userfield.types lists.
USER_FIELD_TYPES = {
    "string": "String",
    "integer": "Whole number",
    "double": "Number",
    "boolean": "Yes/No",
    "enumeration": "List",
    "datetime": "Date and time",
    "date": "Date",
    "money": "Money",
    "url": "Link",
    "address": "Address",
    "file": "File",
    "employee": "Employee",
    "crm_status": "CRM directory",
    "iblock_section": "Information block section",
    "iblock_element": "Information block element",
    "crm": "CRM object",
}

"""Values of further fields in the form of the lead: texts that can be compared.

`to_lead` converts a user's value. `from_lead` converts what the portal answers, in the notation of
crm.lead.* or of crm.item.*, to the same text. None is a field without a value.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal, DecimalException
from typing import TYPE_CHECKING, Any

from leadline.mapping.targets import Value, is_user_field

if TYPE_CHECKING:  # cold start: without a map, nothing needs its models
    from leadline.mapping.field_map import FieldMap
    from leadline.mapping.user_field import FieldType, UserField

#: What a user's lead should hold, by target; None: no value.
LeadValues = dict[str, str | None]

_YES = frozenset({"y", "1", "true", "yes"})
_NO = frozenset({"n", "0", "false", "no"})
#: A portal keeps this many decimals of a number, unless a user field has more.
_DECIMALS = 2
#: Longer values of a lead are cut: no field of the map is that long.
_VALUE_MAX = 65_536
#: Numbers beyond 10^30 stay as they are written: no field holds them, and their digits could fill
#: the memory.
_EXPONENT_MAX = 30
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def of_user(field_map: "FieldMap", values: Mapping[str, Any]) -> LeadValues:
    """What the lead of a user with these values should hold.

    Leaves out fields that the user has no value for, since the lead keeps its own there, and values
    that the map no longer allows.
    """
    lead: LeadValues = {}
    for name, field in field_map.fields.items():
        if name in values:
            with suppress(InvalidValue):
                lead[field.target] = to_lead(field, values[name])
    return lead


class InvalidValue(ValueError):
    """Not a value of this field; the text says what is expected, without quoting the value."""


def to_lead(field: "UserField", value: Value) -> str | None:
    """The value as the lead holds it.

    Raises:
        InvalidValue: it is no value of this field.
    """
    return None if value is None else _TO_LEAD.get(field.type, _text_to_lead)(field, value)


def _bool_to_lead(_: "UserField", value: Value) -> str:
    if not isinstance(value, bool):
        raise InvalidValue("must be true or false")
    return "Y" if value else "N"


def _number_to_lead(_: "UserField", value: Value) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue("must be a number")
    return _number(value)


def _one_of_to_lead(field: "UserField", value: Value) -> str:
    list_ids = field.values or {}
    if not isinstance(value, str) or value not in list_ids:
        raise InvalidValue(f"must be one of {', '.join(list_ids)}")
    return list_ids[value]


def _date_to_lead(_: "UserField", value: Value) -> str:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise InvalidValue("must be a date like 2026-01-31")
    return value


def _text_to_lead(_: "UserField", value: Value) -> str | None:
    if not isinstance(value, str):
        raise InvalidValue("must be a text")
    return _text(value)


_TO_LEAD: "dict[FieldType, Callable[[UserField, Value], str | None]]" = {
    "bool": _bool_to_lead,
    "number": _number_to_lead,
    "one-of": _one_of_to_lead,
    "date": _date_to_lead,
}


def as_sent(target: str, field_type: "FieldType", text: str | None) -> str:
    """A text of `to_lead` as a write sends it; empty to clear the field."""
    if field_type == "bool" and is_user_field(target):
        return {"Y": "1", "N": "0"}.get(text or "", "")
    return text or ""


def constant_as_sent(name: str, value: str | float) -> str:
    """A constant as a write sends it."""
    if isinstance(value, bool):
        return as_sent(name, "bool", "Y" if value else "N")
    return str(value)


def from_lead(field: "UserField", raw: Any) -> str | None:
    """A value of a lead as the text of `to_lead`; None if it has none.

    Raises:
        InvalidValue: the field holds several values.
    """
    if raw is None or raw in ("", [], {}):
        # PHP encodes an empty list, an empty table and a user field without a value alike.
        return None
    if raw is False and field.type != "bool":
        return None
    if isinstance(raw, dict | list):
        raise InvalidValue("holds several values")
    text = _text(str(raw)[:_VALUE_MAX])
    match field.type:
        case "bool":
            return _yes_or_no(text)
        case "number":
            return _number(text)
        case "date":
            return text[:10] if text and _DATE.match(text) else text
    return text


def is_same(field: "UserField", text: str | None, other: str | None) -> bool:
    """Whether both are one value: a portal shows an empty number as 0, an empty yes/no as no."""
    if text == other:
        return True
    shown_for_empty = {"number": "0", "bool": "N"}.get(field.type)
    if shown_for_empty is not None and None in (text, other):
        return shown_for_empty in (text, other)
    return field.type == "email" and (text or "").casefold() == (other or "").casefold()


def is_rounded(field: "UserField", lead_value: str | None, value: str | None) -> bool:
    """Whether the lead has this number as its column rounds it: to two decimals, or to more."""
    if field.type != "number" or lead_value is None or value is None:
        return False
    try:
        stored, wanted = Decimal(lead_value), Decimal(value)
        if not stored.is_finite():  # a text field of the portal may have "NaN"
            return False
        decimals = max(_DECIMALS, -int(stored.as_tuple().exponent))
        half_a_unit = Decimal(5).scaleb(-decimals - 1)  # of the last decimal
        return abs(stored - wanted) <= half_a_unit
    except DecimalException:
        return False


def is_empty(field: "UserField", value: str | None) -> bool:
    """Whether the lead has no value here; a portal shows an empty number as 0."""
    return value is None or (field.type == "number" and value == "0")


def _text(text: str) -> str | None:
    """Without white space at the ends; with the line breaks of JSON, not of web forms."""
    return text.replace("\r\n", "\n").strip() or None


def _yes_or_no(text: str | None) -> str | None:
    lower = (text or "").lower()
    if lower in _YES:
        return "Y"
    return "N" if lower in _NO else text


def _number(value: float | str | None) -> str | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except DecimalException:
        return str(value)
    if not number.is_finite() or abs(number.adjusted()) > _EXPONENT_MAX:
        return str(value)
    return f"{number.normalize():f}"

"""Bitrix24's list filters (`>=DATE_MODIFY`, `@ORIGIN_ID`, …) as SQL conditions.

Field names come from our own table and values are always bound: no client text becomes SQL.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.clock import portal_iso
from emulator.leads.fields import FIELDS, INTEGERS, MULTIFIELDS

_KEY = re.compile(r"^(>=|<=|!@|!=%|!%=|!%|!=|=%|%=|@|>|<|!|%|=|)(\w+)$")
_LISTED = "(SELECT value FROM json_each(?))"
_EMPTY = (None, "", False)


@dataclass
class Where:
    """Conditions joined by AND, and their values."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: object) -> None:
        """One more condition."""
        self.conditions.append(condition)
        self.values.extend(values)

    @property
    def sql(self) -> str:
        """The WHERE clause, or nothing."""
        return "WHERE " + " AND ".join(self.conditions) if self.conditions else ""


def where(sent: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Where:
    """The conditions of a filter; `names` translates field names; unknown fields are ignored."""
    found = Where()
    for key, value in sent.items():
        match = _KEY.match(key)
        if match:
            operator, name = match.groups()
            _add(found, operator, (names or {}).get(name, name.upper()), value)
    return found


def column(name: str) -> str | None:
    """The SQL expression of a field, or None when there is no such field."""
    if name == "ID":
        return "id"
    if name not in FIELDS:
        return None
    if FIELDS[name].kind == "double":
        return f"CAST(json_extract(data, '$.{name}') AS REAL)"
    return f"json_extract(data, '$.{name}')"


def _add(found: Where, operator: str, name: str, value: Any) -> None:
    if name in MULTIFIELDS:
        _add_multifield(found, name, value)
        return
    expression = column(name)
    if expression is None:
        return
    values = [_value(name, each) for each in (value if isinstance(value, list) else [value])]
    if operator in {">", ">=", "<", "<="}:
        found.add(f"{expression} {operator} ?", values[0] if values else None)
    elif "%" in operator:
        _add_like(found, expression, values, negated=operator.startswith("!"))
    elif operator.startswith("!"):
        _add_not_in(found, expression, values)
    else:
        _add_in(found, expression, values)


def _add_in(found: Where, expression: str, values: list[Any]) -> None:
    non_empty = [each for each in values if each not in _EMPTY]
    choices = [f"{expression} IN {_LISTED}"] if non_empty else []
    if len(non_empty) < len(values):
        choices.append(f"coalesce({expression}, '') = ''")
    found.add(
        "(" + " OR ".join(choices or ["0"]) + ")", *([json.dumps(non_empty)] if non_empty else [])
    )


def _add_not_in(found: Where, expression: str, values: list[Any]) -> None:
    non_empty = [each for each in values if each not in _EMPTY]
    if len(non_empty) < len(values):
        found.add(f"coalesce({expression}, '') <> ''")
    if non_empty:
        found.add(f"coalesce({expression}, '') NOT IN {_LISTED}", json.dumps(non_empty))


def _add_like(found: Where, expression: str, values: list[Any], *, negated: bool) -> None:
    verb = "NOT LIKE" if negated else "LIKE"
    for each in values:
        text = re.sub(r"([\\%_])", r"\\\1", str(each))
        found.add(f"coalesce({expression}, '') {verb} ? ESCAPE '\\'", f"%{text}%")


def _add_multifield(found: Where, type_id: str, value: Any) -> None:
    values = [str(each) for each in (value if isinstance(value, list) else [value])]
    found.add(
        "id IN (SELECT lead_id FROM multifield"
        " WHERE type_id = ? AND value IN (SELECT value FROM json_each(?)))",
        type_id,
        json.dumps(values),
    )


def _value(name: str, value: Any) -> Any:
    kind = FIELDS[name].kind
    if name == "ID":
        return _number(value)
    if value in _EMPTY:
        return None
    if kind == "double":
        return _number(value)
    if kind == "datetime":
        return portal_iso(str(value)) or str(value)
    if isinstance(value, bool) and kind not in INTEGERS:
        return "Y" if value else "N"
    return str(value)


def _number(value: Any) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    if number != number or abs(number) > 2**62:  # noqa: PLR0124 (NaN is not itself)
        return 0
    return int(number) if number.is_integer() else number

"""Bitrix24's list filters (`>=DATE_MODIFY`, `@ORIGIN_ID`, …) as SQL conditions.

Field names come from our own tables and values are always bound: no client text becomes SQL.
crm.item.list has groups, which `logic` joins by AND or OR, and rejects unknown fields; the older
lists ignore them.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.entities.fields.field import INTEGERS, MULTIFIELDS, Field
from emulator.entities.fields.kinds import InvalidValue, to_stored
from emulator.entities.schema import Schema
from emulator.errors import RestError

#: A filter's key: an operator, perhaps empty, and the name of a field.
FILTER_KEY = re.compile(r"^(>=|<=|!@|!=%|!%=|!%|!=|=%|%=|@|>|<|!|%|=|)(\w+)$")
#: The right side of IN, whose parameter is the list of values as JSON.
BOUND_LIST = "(SELECT value FROM json_each(?))"
#: Values by which a filter finds fields that are empty; so does 0, which equals False.
_EMPTY = (None, "", False)
#: Groups may be nested as deep as this; deeper ones are ignored.
_DEPTH_MAX = 20


@dataclass
class Where:
    """Conditions joined by AND or OR, with the values of their parameters."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    logic: str = "AND"

    def add(self, condition: str, *values: object) -> None:
        """Add a condition."""
        self.conditions.append(condition)
        self.values.extend(values)

    def add_group(self, group: "Where") -> None:
        """Add the conditions of another Where as a single one."""
        if group.conditions:
            self.add(f"({group.joined})", *group.values)

    def restrict(self, condition: str, *values: object) -> None:
        """Add a condition that must hold in addition to all others."""
        if self.conditions:
            self.conditions = [f"({self.joined})"]
        self.logic = "AND"
        self.add(condition, *values)

    @property
    def joined(self) -> str:
        """The conditions as one expression."""
        return f" {self.logic} ".join(self.conditions)

    @property
    def sql(self) -> str:
        """The WHERE clause, or nothing."""
        return "WHERE " + self.joined if self.conditions else ""


@dataclass(frozen=True)
class FieldNames:
    """How a list call names fields: crm.item.list in camel case, the older lists in upper case."""

    schema: Schema
    #: Whether the call is crm.item.list.
    is_item_method: bool = False
    #: Whether conditions with an ISO date, which has a `T`, are ignored (setting `date_filter`).
    ignores_iso_dates: bool = False

    def field(self, name: str) -> Field | None:
        """A field by a client's name, or None."""
        if self.is_item_method:
            return self.schema.searchable.get(name)
        return self.schema.fields.get(name) or self.schema.fields.get(name.upper())


def parse_filter(sent: Mapping[str, Any], names: FieldNames, depth: int = 0) -> Where:
    """The conditions of a filter; raises RestError if crm.item.list rejects it."""
    clause = Where()
    if names.is_item_method and str(sent.get("logic", "")).upper() == "OR":
        clause.logic = "OR"
    for key, value in sent.items():
        if names.is_item_method and key == "logic":
            continue
        if names.is_item_method and key.isdigit() and isinstance(value, dict):
            if depth < _DEPTH_MAX:
                clause.add_group(parse_filter(value, names, depth + 1))
            continue
        match = FILTER_KEY.match(key)
        if match:
            _add(clause, match.group(1), match.group(2), value, names)
        elif names.is_item_method:
            raise _not_allowed(key)
    return clause


def column(field: Field, schema: Schema) -> str:
    """The SQL expression of a field; objects that never had a value count with its default."""
    name = field.name
    if name == "ID":
        return "id"
    if name in {"HAS_PHONE", "HAS_EMAIL"} and schema.entity.has_multifields:
        return _has_multifield(name.removeprefix("HAS_"), schema)
    value = f"json_extract(data, '$.{name}')"
    if field.default not in _EMPTY:
        value = f"coalesce({value}, '{field.default}')"
    if field.kind in {"double", "integer"} or field.kind in INTEGERS:
        return f"CAST({value} AS REAL)"
    return value


def _has_multifield(type_id: str, schema: Schema) -> str:
    table = schema.entity.table
    return (
        f"iif(EXISTS (SELECT 1 FROM multifield WHERE owner_id = {table}.id"  # noqa: S608
        f" AND entity = {schema.entity.type_id} AND type_id = '{type_id}'), 'Y', 'N')"
    )


def _not_allowed(name: str) -> RestError:
    text = f"Invalid filter: field '{name}' is not allowed in filter"
    return RestError("INVALID_ARG_VALUE", text)


def _add(clause: Where, operator: str, name: str, value: Any, names: FieldNames) -> None:
    """Add the condition of one key of a filter; raises RestError for an unknown name."""
    if (
        not names.is_item_method
        and name.upper() in MULTIFIELDS
        and names.schema.entity.has_multifields
    ):
        _add_multifield(clause, operator, name.upper(), value, names.schema)
        return
    field = names.field(name)
    if field is None:
        if names.is_item_method:
            raise _not_allowed(name)
        return
    is_date = field.kind in {"date", "datetime"}
    if is_date and names.ignores_iso_dates and "T" in str(value):
        return
    _add_condition(clause, operator, field, value, names)


def _add_condition(
    clause: Where, operator: str, field: Field, value: Any, names: FieldNames
) -> None:
    """Add a condition on a field; raises RestError if crm.item.list rejects the value."""
    if isinstance(value, dict):
        value = list(value.values())
    sent = value if isinstance(value, list) else [value]
    if "%" in operator:
        stored_text = f"coalesce(json_extract(data, '$.{field.name}'), '')"
        expression = "id" if field.name == "ID" else stored_text
        _add_like(clause, expression, [str(item) for item in sent], operator)
        return
    try:
        values = [_comparable_value(field, item) for item in sent]
    except InvalidValue:
        if not names.is_item_method:
            clause.add("0")  # finds nothing
            return
        text = f"Invalid filter: field '{field.camel}' has invalid value"
        raise RestError("INVALID_ARG_VALUE", text) from None
    if field.is_multiple:
        _add_multiple(clause, operator, field, values)
        return
    expression = column(field, names.schema)
    if operator in {">", ">=", "<", "<="}:
        clause.add(f"{expression} {operator} ?", values[0] if values else None)
    elif operator.startswith("!"):
        _add_not_in(clause, expression, values)
    else:
        _add_in(clause, expression, values)


def _add_in(clause: Where, expression: str, values: list[Any]) -> None:
    """Add a condition that the expression is one of these values, or has none if one is empty."""
    non_empty = [value for value in values if value not in _EMPTY]
    either = Where(logic="OR")
    if non_empty:
        either.add(f"{expression} IN {BOUND_LIST}", json.dumps(non_empty))
    if len(non_empty) < len(values):
        either.add(_empty_condition(expression))
    if not values:
        either.add("0")  # an empty list finds nothing
    clause.add_group(either)


def _add_not_in(clause: Where, expression: str, values: list[Any]) -> None:
    """Add the opposite of `_add_in`."""
    non_empty = [value for value in values if value not in _EMPTY]
    if len(non_empty) < len(values):
        clause.add(f"NOT {_empty_condition(expression)}")
    if non_empty:
        clause.add(f"coalesce({expression}, '') NOT IN {BOUND_LIST}", json.dumps(non_empty))


def _empty_condition(expression: str) -> str:
    """The SQL condition that an expression has no value."""
    empty = "0" if expression.startswith("CAST") else "''"
    return f"coalesce({expression}, {empty}) = {empty}"


def _add_like(clause: Where, expression: str, values: list[str], operator: str) -> None:
    """`%` finds a value anywhere in a text; `=%` takes it as a pattern with its own `%`."""
    verb = "NOT LIKE" if operator.startswith("!") else "LIKE"
    for value in values:
        if "=" in operator:
            clause.add(f"{expression} {verb} ?", value)
        else:
            text = re.sub(r"([\\%_])", r"\\\1", value)
            clause.add(f"{expression} {verb} ? ESCAPE '\\'", f"%{text}%")


def _add_multiple(clause: Where, operator: str, field: Field, values: list[Any]) -> None:
    """Add a condition on a field with several values: whether one of them is a sent one."""
    path = f"$.{field.name}"
    non_empty = [str(value) for value in values if value not in _EMPTY]
    verb = "NOT EXISTS" if operator.startswith("!") else "EXISTS"
    if non_empty:
        clause.add(
            f"{verb} (SELECT 1 FROM json_each(data, ?) AS element"  # noqa: S608 (our own names)
            f" WHERE element.value IN {BOUND_LIST})",
            path,
            json.dumps(non_empty),
        )
    if len(non_empty) < len(values):
        verb = "EXISTS" if operator.startswith("!") else "NOT EXISTS"
        clause.add(f"{verb} (SELECT 1 FROM json_each(data, ?))", path)  # noqa: S608


def _add_multifield(clause: Where, operator: str, type_id: str, value: Any, schema: Schema) -> None:
    """Multifields match exactly with any operator (crm/contacts/crm-contact-list)."""
    values = [str(item) for item in (value if isinstance(value, list) else [value])]
    verb = "NOT IN" if operator.startswith("!") else "IN"
    clause.add(
        f"id {verb} (SELECT owner_id FROM multifield"  # noqa: S608 (our own names)
        f" WHERE type_id = ? AND entity = {schema.entity.type_id} AND value IN {BOUND_LIST})",
        type_id,
        json.dumps(values),
    )


def _comparable_value(field: Field, value: Any) -> Any:
    """A filter's value as `column` yields it: number, stored text, None; raises InvalidValue."""
    kind = field.kind
    if kind in {"double", "integer"} or kind in INTEGERS:
        return None if value is None or value == "" else _number(value, field)
    if isinstance(value, bool) and kind == "char":
        return "Y" if value else "N"
    if field.is_user_field and kind == "boolean":
        return str(int(value)) if value in (0, 1, "0", "1") else str(value)
    if value in _EMPTY:
        return None
    if kind in {"date", "datetime"} or field.is_user_field:
        # Only user fields with a time can be written, so only they have a conversion.
        is_user_field = field.is_user_field or kind == "datetime"
        return to_stored(kind, value, is_user_field=is_user_field)
    return str(value)


def _number(value: Any, field: Field) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if field.is_user_field:
            raise InvalidValue from None
        return 0
    if math.isnan(number) or abs(number) > 2**62:  # beyond SQLite's integers
        return 0
    return int(number) if number.is_integer() else number

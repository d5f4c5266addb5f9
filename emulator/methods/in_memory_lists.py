"""List calls on rows that are few enough to be kept in memory: filter, order and page.

Rows are selected by the rules of crm.item.list, which rejects unknown fields, or by those of
crm.lead.list, which ignores them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from emulator.entities.filters import FILTER_KEY
from emulator.entities.like import like
from emulator.entities.query import PAGE
from emulator.errors import RestError
from emulator.methods.call import Call
from emulator.methods.filter_and_sort import Row, ordered, sort_key

_DEPTH_MAX = 5
_Predicate = Callable[[Row], bool]


def select_as_item_list(rows: Sequence[Row], call: Call, names: Collection[str]) -> list[Row]:
    """The rows that a call's `filter` finds, in its `order`; raises RestError for unknown names."""
    conditions, order = call.argument("filter"), call.argument("order")
    found = list(rows)
    if isinstance(conditions, dict | list) and conditions:
        is_found = _group_predicate(conditions, names, 0)
        found = [row for row in found if is_found(row)]
    return ordered_rows(found, order if isinstance(order, dict) else {}, names)


def select_as_lead_list(rows: Sequence[Row], call: Call) -> list[Row]:
    """The rows that a call's `filter` finds, in its `order`; unknown names are ignored."""
    conditions, order = call.argument("filter"), call.argument("order")
    for name, sent in (("order", order), ("filter", conditions)):
        if sent not in (None, "", []) and not isinstance(sent, dict):
            raise RestError("", f"Parameter '{name}' must be array.")
    names = {str(name).upper(): name for row in rows[:1] for name in row}
    found = list(rows)
    for key, value in (conditions or {}).items():
        match = FILTER_KEY.fullmatch(str(key))
        if match and match.group(2).upper() in names:
            operator, name = match.group(1), names[match.group(2).upper()]
            is_found = _predicate(operator + name, value, names.values())
            found = [row for row in found if is_found(row)]
    known_order = {
        names[name.upper()]: direction
        for name, direction in (order or {}).items()
        if name.upper() in names
    }
    return ordered(found, known_order, as_named=True)


def ordered_rows(rows: list[Row], order: Mapping[str, Any], names: Collection[str]) -> list[Row]:
    """The rows sorted by several fields; raises RestError for unknown names and directions."""
    for name, direction in order.items():
        if name not in names:
            text = f"Invalid order: field '{name}' is not allowed in order"
            raise RestError("INVALID_ARG_VALUE", text)
        if str(direction).upper() not in {"ASC", "DESC"}:
            text = (
                "Invalid order: allowed sort directions are `ASC, DESC`."
                f" But got '{direction}' for field '{name}'"
            )
            raise RestError("INVALID_ARG_VALUE", text)
    return ordered(rows, order, as_named=True)


def page(rows: Sequence[Row], first: int | None) -> tuple[list[Row], int, int | None]:
    """A page of rows, the number of all rows, and the start of the next page or None."""
    begin = first or 0
    end = begin + PAGE
    total = len(rows) if first is not None else 0  # None: counting is off
    return list(rows[begin:end]), total, end if end < total else None


def _group_predicate(
    conditions: Mapping[str, Any] | list[Any], names: Collection[str], depth: int
) -> _Predicate:
    """A filter as one predicate; groups with `logic` may be nested, those too deep are ignored."""
    pairs = (
        list(conditions.items()) if isinstance(conditions, Mapping) else list(enumerate(conditions))
    )
    logic = next((value for key, value in pairs if str(key) == "logic"), "AND")
    predicates: list[_Predicate] = []
    for key, value in pairs:
        name = str(key)
        if name == "logic":
            continue
        if name.isdigit() and isinstance(value, dict | list):
            if depth < _DEPTH_MAX:
                predicates.append(_group_predicate(value, names, depth + 1))
            continue
        predicates.append(_predicate(name, value, names))
    combine = any if str(logic).upper() == "OR" else all
    return lambda row: not predicates or combine(is_met(row) for is_met in predicates)


def _predicate(key: str, value: Any, names: Collection[str]) -> _Predicate:
    """The predicate of one key of a filter; raises RestError for an unknown name."""
    match = FILTER_KEY.fullmatch(key)
    if match is None or match.group(2) not in names:
        text = (
            f"Invalid filter: field '{match.group(2) if match else key}' is not allowed in filter"
        )
        raise RestError("INVALID_ARG_VALUE", text)
    operator, name = match.groups()
    sent = list(value.values()) if isinstance(value, dict) else value
    values = sent if isinstance(sent, list) else [sent]
    matches = _comparison(operator.removeprefix("!"), values)
    is_negated = operator.startswith("!")
    return lambda row: matches(row.get(name)) != is_negated


def _comparison(operator: str, values: list[Any]) -> Callable[[Any], bool]:
    """The test of a stored value against the sent ones; the operator has no `!`."""
    texts = {_text(value) for value in values}
    if "%" in operator:
        patterns = [value if "=" in operator else f"%{value}%" for value in texts]
        return lambda stored: any(like(pattern, _text(stored)) for pattern in patterns)
    if operator[:1] in {">", "<"}:
        other = sort_key(values[0] if values else "")
        return {
            ">": lambda stored: sort_key(stored) > other,
            ">=": lambda stored: sort_key(stored) >= other,
            "<": lambda stored: sort_key(stored) < other,
            "<=": lambda stored: sort_key(stored) <= other,
        }[operator]
    return lambda stored: _text(stored) in texts


def _text(value: Any) -> str:
    """A value as it is compared as text."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    return "" if value is None else str(value)

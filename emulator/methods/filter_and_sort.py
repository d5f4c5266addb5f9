"""Filters and sorts rows in memory, as the older list methods do it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def matching(rows: Sequence[Row], conditions: Mapping[str, Any]) -> list[Row]:
    """The rows whose fields equal these values, or with `!` differ; names may be in any case.

    A list of values matches any of them; names that the rows do not have are ignored.
    """
    found = list(rows)
    for key, value in conditions.items():
        is_negated = str(key).startswith("!")
        name = str(key).lstrip("!=@").upper()
        values = {str(item) for item in (value if isinstance(value, list) else [value])}
        found = [row for row in found if _meets(row, name, values, is_negated=is_negated)]
    return found


def _meets(row: Row, name: str, values: set[str], *, is_negated: bool) -> bool:
    if name not in row:
        return True
    return (str(row[name]) in values) != is_negated


def ordered(rows: Sequence[Row], order: Mapping[str, Any], *, as_named: bool = False) -> list[Row]:
    """The rows sorted by several fields, each ASC or DESC; numbers come before other texts.

    Names are converted to upper case unless `as_named`.
    """
    found = list(rows)
    for name, direction in reversed(list(order.items())):
        column = str(name) if as_named else str(name).upper()
        is_descending = str(direction).upper() == "DESC"
        found = _sorted(found, column, is_descending=is_descending)
    return found


def sort_key(value: Any) -> tuple[int, float, str]:
    """A sort key: numbers, even if they are texts, by value, and other texts after them."""
    text = "" if value is None or isinstance(value, dict | list) else str(value)
    is_number = re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text) is not None
    return (0, float(text), "") if is_number else (1, 0, text)


def _sorted(rows: list[Row], name: str, *, is_descending: bool) -> list[Row]:
    return sorted(rows, key=lambda row: sort_key(row.get(name)), reverse=is_descending)

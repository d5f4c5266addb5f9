"""A list call as SQL: filter, order, page and selected fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.entities.filters import FieldNames, Where, column, parse_filter
from emulator.errors import RestError
from emulator.http.params import Params

#: Rows on a page of a list call.
PAGE = 50


@dataclass(frozen=True)
class Query:
    """A parsed list call; `start` is None if counting is off (start = -1)."""

    where: Where
    order: str
    start: int | None

    @property
    def page_clause(self) -> str:
        """WHERE, ORDER BY, LIMIT and OFFSET of the page."""
        return f"{self.where.sql} ORDER BY {self.order} LIMIT {PAGE} OFFSET {self.start or 0}"


def parse_query(params: Params, names: FieldNames) -> Query:
    """The query of a list call's `filter`, `order` and `start`; raises RestError."""
    conditions, order = argument(params, "filter"), argument(params, "order")
    if not names.is_item_method:
        for name, sent in (("order", order), ("filter", conditions)):
            if sent not in (None, "", []) and not isinstance(sent, dict):
                raise RestError("", f"Parameter '{name}' must be array.")
    if isinstance(conditions, list):  # in PHP a list is a map with numbers as keys
        conditions = {str(index): entry for index, entry in enumerate(conditions)}
    return Query(
        parse_filter(conditions if isinstance(conditions, dict) else {}, names),
        _order(order if isinstance(order, dict) else {}, names),
        first_row(params),
    )


def selected_names(params: Params) -> set[str]:
    """The selected fields of a list call; `*` if none are named."""
    select = argument(params, "select")
    if isinstance(select, dict):
        select = list(select.values())
    if isinstance(select, str):
        select = [select]
    if not isinstance(select, list):
        return {"*"}
    return {name for name in select if isinstance(name, str)} or {"*"}


def argument(params: Params, name: str) -> Any:
    """A parameter by its case-insensitive name: the documentation uses both `id` and `ID`."""
    if name in params:
        return params[name]
    return next((value for key, value in params.items() if key.lower() == name.lower()), None)


def calling_application(params: Params) -> str:
    """The `auth_connector` by which an application names itself in a call; empty if absent."""
    sent = argument(params, "auth_connector")
    return sent if isinstance(sent, str) else ""


def first_row(params: Params) -> int | None:
    """`start`, the first row of the page; None for -1, which switches counting off."""
    try:
        number = int(argument(params, "start"))
    except (TypeError, ValueError, OverflowError):
        return 0
    return None if number < 0 else min(number, 2**40)  # far within SQLite's integers


def _order(order: Mapping[str, Any], names: FieldNames) -> str:
    """The ORDER BY clause, with the id last; raises RestError if crm.item.list rejects it."""
    parts = []
    for name, direction in order.items():
        field = names.field(name)
        verb = str(direction).upper()
        if names.is_item_method and field is None:
            raise _invalid(f"field '{name}' is not allowed in order")
        if names.is_item_method and verb not in {"ASC", "DESC"}:
            raise _invalid(
                f"allowed sort directions are `ASC, DESC`. But got '{direction}' for field '{name}'"
            )
        if field is not None:
            parts.append(f"{column(field, names.schema)} {'DESC' if verb == 'DESC' else 'ASC'}")
    return ", ".join([*parts, "id"])


def _invalid(reason: str) -> RestError:
    return RestError("INVALID_ARG_VALUE", f"Invalid order: {reason}")

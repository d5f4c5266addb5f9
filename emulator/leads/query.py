"""A list call as SQL: filter, order, page and selected fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.http.params import Params
from emulator.leads.filters import Where, column, where

PAGE = 50


@dataclass(frozen=True)
class Query:
    """A parsed list call; `start` is None if counting is off (start = -1)."""

    where: Where
    order: str
    start: int | None

    @property
    def page(self) -> str:
        """The clause for one page of rows."""
        return f"{self.where.sql} ORDER BY {self.order} LIMIT {PAGE} OFFSET {self.start or 0}"


def parse(params: Params, names: Mapping[str, str] | None = None) -> Query:
    """The query of a list call's `filter`, `order` and `start`; `names` translates fields."""
    wanted = argument(params, "filter")
    return Query(
        where(wanted if isinstance(wanted, dict) else {}, names),
        _order(argument(params, "order"), names or {}),
        _start(argument(params, "start")),
    )


def selected(params: Params) -> set[str]:
    """The selected fields of a list call; `*` if none are named."""
    select = argument(params, "select")
    if isinstance(select, dict):
        select = list(select.values())
    if isinstance(select, str):
        select = [select]
    names = (
        {each for each in select if isinstance(each, str)} if isinstance(select, list) else set()
    )
    return names or {"*"}


def argument(params: Params, name: str) -> Any:
    """A parameter by its case-insensitive name: the documentation uses both `id` and `ID`."""
    if name in params:
        return params[name]
    return next((value for key, value in params.items() if key.lower() == name.lower()), None)


def connector(params: Params) -> str:
    """The `auth_connector` of a call, which owns offline events; empty if absent."""
    sent = argument(params, "auth_connector")
    return sent if isinstance(sent, str) else ""


def _order(order: Any, names: Mapping[str, str]) -> str:
    parts = []
    for name, direction in order.items() if isinstance(order, dict) else ():
        expression = column(names.get(name, name.upper()))
        if expression:
            parts.append(f"{expression} {'DESC' if str(direction).upper() == 'DESC' else 'ASC'}")
    return ", ".join([*parts, "id"])


def _start(start: Any) -> int | None:
    try:
        number = int(start)
    except (TypeError, ValueError, OverflowError):
        return 0
    return None if number < 0 else min(number, 2**40)

"""crm.stagehistory.list: the moves of leads, deals, invoices and smart processes' items.

The ids of the entries only grow: a reader can follow them with `>ID`. Documentation:
crm/crm-stage-history-list.md.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import portal_iso
from emulator.entities.entity import LEAD, QUOTE, Entity
from emulator.entities.filters import BOUND_LIST, FILTER_KEY, Where
from emulator.entities.multifields import positive_int
from emulator.entities.query import PAGE, first_row, selected_names
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult

#: Fields and their columns, of all types.
_COMMON = {"ID": "id", "TYPE_ID": "kind", "OWNER_ID": "owner_id", "CREATED_TIME": "time"}
#: Further ones, of leads and of all other types.
_OF_LEADS = {"STATUS_SEMANTIC_ID": "semantics", "STATUS_ID": "stage"}
_OF_OTHERS = {"CATEGORY_ID": "category_id", "STAGE_SEMANTIC_ID": "semantics", "STAGE_ID": "stage"}


def list_(call: Call) -> MethodResult:
    """crm.stagehistory.list: the entries that a filter finds, 50 a page."""
    entity = _entity(call)
    columns = {**_COMMON, **(_OF_LEADS if entity is LEAD else _OF_OTHERS)}
    where = _where(call, columns)
    first = first_row(call.params)
    where.restrict("entity = ?", entity.type_id)
    _restrict_to_readable(call, entity, where)
    db = call.portal.store.db
    names = list(columns)
    rows = db.execute(
        f"SELECT {', '.join(columns.values())} FROM stage_history {where.sql}"  # noqa: S608
        f" ORDER BY {_order(call, columns)} LIMIT {PAGE} OFFSET {first or 0}",
        where.values,
    ).fetchall()
    selection = selected_names(call.params)
    items = [
        {
            name: value
            for name, value in zip(names, row, strict=True)
            if "*" in selection or name in selection
        }
        for row in rows
    ]
    if first is None:
        return MethodResult({"items": items}, 0)
    count = f"SELECT count(*) FROM stage_history {where.sql}"  # noqa: S608 (our own names)
    total = int(db.execute(count, where.values).fetchone()[0])
    following = first + PAGE if first + PAGE < total else None
    return MethodResult({"items": items}, total, following)


def _entity(call: Call) -> Entity:
    """The type of object that `entityTypeId` names, one with stages; raises RestError."""
    sent = call.argument("entityTypeId")
    entity = call.portal.types.get(positive_int(sent))
    if entity is None or entity is QUOTE or not entity.stage_field:
        name = entity.name if entity else str(sent)[:50]
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {name} is not supported")
    return entity


def _restrict_to_readable(call: Call, entity: Entity, where: Where) -> None:
    """Restrict the list to the moves of objects that the user may read."""
    if call.read_access == "all":
        return
    readable = Where()
    call.restrict_to_readable(readable)
    where.add(f"owner_id IN (SELECT id FROM {entity.table} {readable.sql})", *readable.values)  # noqa: S608


def _where(call: Call, columns: Mapping[str, str]) -> Where:
    """The conditions of the filter; raises RestError."""
    clause = Where()
    sent = call.argument("filter")
    for key, value in sent.items() if isinstance(sent, dict) else ():
        match = FILTER_KEY.match(key)
        name = match.group(2).upper() if match else key
        if match is None or name not in columns:
            text = f"Invalid filter: field '{name}' is not allowed in filter"
            raise RestError("INVALID_ARG_VALUE", text)
        _add(clause, match.group(1), name, columns[name], value)
    return clause


def _add(clause: Where, operator: str, name: str, column: str, value: Any) -> None:
    """Add the condition of one key of the filter."""
    sent = list(value.values()) if isinstance(value, dict) else value
    if "%" in operator:
        texts = [str(item) for item in (sent if isinstance(sent, list) else [sent])]
        verb = "NOT LIKE" if operator.startswith("!") else "LIKE"
        for text in texts:
            clause.add(f"{column} {verb} ?", text if "=" in operator else f"%{text}%")
        return
    values = [_value(name, column, item) for item in (sent if isinstance(sent, list) else [sent])]
    if operator in {">", ">=", "<", "<="}:
        clause.add(f"{column} {operator} ?", values[0] if values else None)
        return
    verb = "NOT IN" if operator.startswith("!") else "IN"
    clause.add(f"{column} {verb} {BOUND_LIST}", json.dumps(values))


def _value(name: str, column: str, value: Any) -> Any:
    """A sent value as the column stores it; raises RestError."""
    if column in {"id", "kind", "owner_id", "category_id"}:
        text = str(value)
        if re.fullmatch(r"[0-9]{1,18}", text):
            return int(text)
    elif column != "time":
        return str(value)
    elif moment := portal_iso(str(value)):
        return moment
    text = f"Invalid filter: field '{name}' has invalid value"
    raise RestError("INVALID_ARG_VALUE", text)


def _order(call: Call, columns: Mapping[str, str]) -> str:
    """The ORDER BY clause, with the id last; raises RestError."""
    sent = call.argument("order")
    parts = []
    for name, direction in sent.items() if isinstance(sent, dict) else ():
        if name not in columns:
            raise RestError(
                "INVALID_ARG_VALUE", f"Invalid order: field '{name}' is not allowed in order"
            )
        if str(direction).upper() not in {"ASC", "DESC"}:
            text = (
                "Invalid order: allowed sort directions are `ASC, DESC`."
                f" But got '{direction}' for field '{name}'"
            )
            raise RestError("INVALID_ARG_VALUE", text)
        parts.append(f"{columns[name]} {str(direction).upper()}")
    return ", ".join([*parts, "id"])


METHODS: dict[str, Callable[[Call], MethodResult]] = {"crm.stagehistory.list": list_}

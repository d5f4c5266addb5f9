"""event.offline.*: the queue of events that an application polls. Documentation: events/."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from emulator.clock import iso, portal_iso
from emulator.entities.filters import Where
from emulator.entities.multifields import positive_int
from emulator.entities.query import PAGE, first_row
from emulator.errors import RestError
from emulator.events.offline import OfflineEvent
from emulator.methods.call import Call, MethodResult
from emulator.methods.portal.event_handlers import require_events_allowed

#: How many events a call returns by default; it may ask for ten times as many.
_LIMIT = 50
#: Filters compare whole seconds.
_TIME = "CAST(time AS INTEGER)"
_KEY = re.compile(r"^(>=|<=|!@|!=|@|>|<|!|=|)(\w+)$")
#: The fields by which events are filtered and sorted, with the SQL of each.
_COLUMNS = {"ID": "id", "TIMESTAMP_X": _TIME, "EVENT_NAME": "event", "MESSAGE_ID": "id"}
_LIST_COLUMNS = {**_COLUMNS, "PROCESS_ID": "coalesce(process_id, '')", "ERROR": "error"}


def get(call: Call) -> MethodResult:
    """event.offline.get: queued events, which it removes, or with clear=0 reserves.

    With `process_id` it returns the events that this process has reserved, with `error` also events
    that were marked as failed.
    """
    _require_access(call)
    where = _where(call, _COLUMNS)
    process_id = call.argument("process_id")
    if isinstance(process_id, str) and process_id:
        where.add("process_id = ?", process_id)
    else:
        is_free = "process_id IS NULL"
        where.add(f"({is_free} OR error = 1)" if _is_on(call, "error") else is_free)
    if not _is_on(call, "error"):
        where.add("error = 0")
    queue = call.portal.offline
    reserves = call.argument("clear") in (0, "0", False)
    with call.portal.store.transaction():
        limit = min(positive_int(call.argument("limit")) or _LIMIT, 10 * _LIMIT)
        found = queue.read(
            call.application, where, _order(call, _COLUMNS, default="time"), page=f"LIMIT {limit}"
        )
        reserved = None
        if reserves:
            reserved = str(process_id) if process_id else queue.reserve(found)
        else:
            queue.remove(found)
    return MethodResult(
        {"process_id": reserved, "events": [_event_row(call, event) for event in found]}
    )


def list_(call: Call) -> MethodResult:
    """event.offline.list: the queue as it is; nothing is reserved or removed."""
    _require_access(call)
    where = _where(call, _LIST_COLUMNS)
    first = first_row(call.params) or 0
    found = call.portal.offline.read(
        call.application, where, _order(call, _LIST_COLUMNS, default="id")
    )
    following = first + PAGE if first + PAGE < len(found) else None
    rows = [_list_row(call, event) for event in found[first : first + PAGE]]
    return MethodResult(rows, len(found), following)


def clear(call: Call) -> MethodResult:
    """event.offline.clear: remove reserved events, all or those named by id or message_id."""
    found = _reserved(call, "id", "message_id")
    call.portal.offline.remove(found)
    return MethodResult(result=True)


def error(call: Call) -> MethodResult:
    """event.offline.error: keep reserved events, and mark them as failed."""
    call.portal.offline.mark_failed(_reserved(call, "message_id"))
    return MethodResult(result=True)


def _reserved(call: Call, *names: str) -> list[OfflineEvent]:
    """The reserved events that a call names; `names`: the parameters that may list ids."""
    _require_access(call)
    process_id = call.argument("process_id")
    if not isinstance(process_id, str) or not process_id:
        raise RestError("PROCESS_ID_REQUIRED", "Process ID is required")
    sent = next((call.argument(name) for name in names if call.argument(name) is not None), None)
    if isinstance(sent, dict):
        sent = list(sent.values())
    ids = None
    if sent is not None:
        sent_ids = sent if isinstance(sent, list) else [sent]
        ids = [number for item in sent_ids if (number := positive_int(item))]
    return call.portal.offline.reserved(process_id, ids)


def _require_access(call: Call) -> None:
    """Raise RestError unless an administrator calls, and the portal allows events to webhooks."""
    require_events_allowed(call)
    call.require_admin("Access denied!", status=403)


def _where(call: Call, columns: Mapping[str, str]) -> Where:
    clause = Where()
    sent = call.argument("filter")
    for key, value in sent.items() if isinstance(sent, dict) else ():
        match = _KEY.match(key)
        column = columns.get(match.group(2).upper()) if match else None
        if match and column:
            _add(clause, match.group(1), column, value)
    return clause


def _add(clause: Where, operator: str, column: str, value: Any) -> None:
    values = [_value(column, item) for item in (value if isinstance(value, list) else [value])]
    if operator in {">", ">=", "<", "<="}:
        clause.add(f"{column} {operator} ?", values[0] if values else None)
        return
    marks = ", ".join("?" for _ in values)
    verb = "NOT IN" if operator.startswith("!") else "IN"
    clause.add(f"{column} {verb} ({marks})", *values)


def _value(column: str, value: Any) -> Any:
    if column == _TIME:
        moment = portal_iso(str(value))
        return datetime.fromisoformat(moment).timestamp() if moment else None
    if column in {"id", "error"}:
        text = str(value)
        return int(text) if text.isdecimal() and len(text) < 19 else -1  # -1 finds nothing
    return str(value).upper() if column == "event" else str(value)


def _order(call: Call, columns: Mapping[str, str], default: str) -> str:
    sent = call.argument("order")
    parts = [
        f"{columns[name.upper()]} {'DESC' if str(direction).upper() == 'DESC' else 'ASC'}"
        for name, direction in (sent.items() if isinstance(sent, dict) else ())
        if name.upper() in columns
    ]
    return ", ".join([*(parts or [default]), "id"])


def _is_on(call: Call, name: str) -> bool:
    return call.argument(name) in (1, "1", True, "Y")


def _event_row(call: Call, event: OfflineEvent) -> dict[str, Any]:
    """An event as event.offline.get returns it."""
    kind = {"ENTITY_TYPE_ID": str(event.type_id)} if event.type_id else {}
    has_fields = call.portal.settings.offline_event_data == "fields"
    return {
        "ID": str(event.id),
        "TIMESTAMP_X": iso(event.time),
        "EVENT_NAME": event.event,
        "EVENT_DATA": has_fields and {"FIELDS": {"ID": str(event.owner_id), **kind}},
        "EVENT_ADDITIONAL": False,
        "MESSAGE_ID": str(event.id),
    }


def _list_row(call: Call, event: OfflineEvent) -> dict[str, Any]:
    """An event as event.offline.list returns it."""
    return {
        **_event_row(call, event),
        "PROCESS_ID": event.process_id or "",
        "ERROR": str(event.error),
    }


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "event.offline.get": get,
    "event.offline.list": list_,
    "event.offline.clear": clear,
    "event.offline.error": error,
}

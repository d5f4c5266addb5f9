"""crm.timeline.note.*, crm.timeline.logmessage.*, and the pinning of entries.

Documentation: crm/timeline/note/, crm/timeline/logmessage/, crm/timeline/actions/.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.clock import iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.families.family import TEXT_MAX, require
from emulator.methods.filter_and_sort import ordered
from emulator.methods.in_memory_lists import page
from emulator.methods.timeline.owners import owner_of

_NOTE, _LOG, _PIN = "crm.timeline.note", "crm.timeline.logmessage", "crm.timeline.item.pin"
_PINNED_MAX = 3


def note_save(call: Call) -> MethodResult:
    """crm.timeline.note.save: true; an entry has one note."""
    require(call, ("ownerTypeId", "ownerId", "itemType", "itemId", "text"))
    key, stored = _note(call)
    now = iso(call.portal.clock.wall())
    user = call.user
    text = str(call.argument("text"))[:TEXT_MAX]
    note: Record = {"key": key, "createdById": user, "createdTime": now}
    record = {**(stored[1] if stored else note), "text": text}
    record |= {"updatedById": user, "updatedTime": now}
    if stored:
        call.portal.records.put(_NOTE, stored[0], record)
    else:
        call.portal.records.add(_NOTE, record)
    return MethodResult(result=True)


def note_get(call: Call) -> MethodResult:
    """crm.timeline.note.get: the note of an entry."""
    _, record = _existing_note(call)
    names = ("text", "createdById", "createdTime", "updatedById", "updatedTime")
    return MethodResult({name: record[name] for name in names})


def note_delete(call: Call) -> MethodResult:
    """crm.timeline.note.delete: true."""
    number, _ = _existing_note(call)
    call.portal.records.delete(_NOTE, number)
    return MethodResult(result=True)


def _note(call: Call) -> tuple[list[int], tuple[int, Record] | None]:
    """The key of the entry that a call names, and its note with the record's number, if any."""
    numbers = [positive_int(call.argument(name)) or 0 for name in ("itemType", "itemId")]
    key = [*owner_of(call), *numbers]
    for number, record in call.portal.records.all(_NOTE).items():
        if record["key"] == key:
            return key, (number, record)
    return key, None


def _existing_note(call: Call) -> tuple[int, Record]:
    """The note of the entry that a call names, with its record's number; raises RestError."""
    require(call, ("ownerTypeId", "ownerId", "itemType", "itemId"))
    _, stored = _note(call)
    if stored is None:
        raise RestError("NOT_FOUND", "Element not found")
    return stored


def log_add(call: Call) -> MethodResult:
    """crm.timeline.logmessage.add: the new entry."""
    sent = call.argument("fields")
    fields = sent if isinstance(sent, dict) else {}
    for name in ("entityTypeId", "entityId", "title", "text", "iconCode"):
        if fields.get(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}")
    owner = owner_of(Call(call.portal, fields, call.webhook), "entityTypeId", "entityId")
    record: Record = {"owner": list(owner), "created": iso(call.portal.clock.wall())}
    record["authorId"] = call.user
    record |= {name: str(fields[name])[:TEXT_MAX] for name in ("title", "text", "iconCode")}
    number = call.portal.records.add(_LOG, record)
    return MethodResult({"logMessage": _log_row(number, record)})


def log_get(call: Call) -> MethodResult:
    """crm.timeline.logmessage.get: an entry by its id."""
    return MethodResult({"logMessage": _log_row(*_existing_log(call))})


def log_list(call: Call) -> MethodResult:
    """crm.timeline.logmessage.list: the entries of an object."""
    owner = list(owner_of(call, "entityTypeId", "entityId"))
    order = call.argument("order")
    rows = [
        _log_row(number, record)
        for number, record in call.portal.records.all(_LOG).items()
        if record["owner"] == owner
    ]
    sorted_rows = ordered(rows, order if isinstance(order, dict) else {}, as_named=True)
    return MethodResult(*page(sorted_rows, first_row(call.params)))


def log_delete(call: Call) -> MethodResult:
    """crm.timeline.logmessage.delete: true."""
    number, _ = _existing_log(call)
    call.portal.records.delete(_LOG, number)
    return MethodResult(result=True)


def _existing_log(call: Call) -> tuple[int, Record]:
    """The entry that `id` names, with its number; raises RestError."""
    require(call, ("id",))
    number = positive_int(call.argument("id"))
    record = call.portal.records.get(_LOG, number)
    if number is None or record is None:
        text = f"Timeline logmessage not found for id {str(call.argument('id'))[:20]}"
        raise RestError("NOT_FOUND", text)
    return number, record


def _log_row(number: int, record: Record) -> dict[str, Any]:
    return {"id": number, **{name: value for name, value in record.items() if name != "owner"}}


def pin(call: Call, *, on: bool) -> MethodResult:
    """crm.timeline.item.pin and unpin: null; an object has three pinned entries at most.

    The emulator pins comments only.
    """
    require(call, ("id",))
    owner = list(owner_of(call))
    number = positive_int(call.argument("id"))
    record = call.portal.records.get("crm.timeline.comment", number)
    if number is None or record is None:
        raise RestError("NOT_FOUND", "Not found.")
    rows = call.portal.records.all(_PIN)
    pinned = {key: row for key, row in rows.items() if row["owner"] == owner}
    pin_id = next((key for key, row in pinned.items() if row["id"] == number), None)
    if on and pin_id is None:
        if len(pinned) >= _PINNED_MAX:
            raise RestError(0, "Only three events can be added to favorites")
        call.portal.records.add(_PIN, {"owner": owner, "id": number})
    elif not on and pin_id is not None:
        call.portal.records.delete(_PIN, pin_id)
    return MethodResult(None)


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.timeline.note.save": note_save,
    "crm.timeline.note.get": note_get,
    "crm.timeline.note.delete": note_delete,
    "crm.timeline.logmessage.add": log_add,
    "crm.timeline.logmessage.get": log_get,
    "crm.timeline.logmessage.list": log_list,
    "crm.timeline.logmessage.delete": log_delete,
    "crm.timeline.item.pin": partial(pin, on=True),
    "crm.timeline.item.unpin": partial(pin, on=False),
}

"""crm.timeline.comment.* and crm.timeline.bindings.*: comments, and the objects that show them.

Documentation: crm/timeline/comments/, crm/timeline/bindings/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row, selected_names
from emulator.entities.records import Record
from emulator.errors import RestError, access_denied, invalid_id
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.in_memory_lists import page, select_as_lead_list
from emulator.methods.record_events import send_record_event
from emulator.methods.timeline.files import file_rows, stored_files
from emulator.methods.timeline.owners import owner_of, require_owner, type_by_name

_COMMENT = "crm.timeline.comment"
_KEY = ("ENTITY_ID", "ENTITY_TYPE")
_COLUMNS: dict[str, Column] = {
    "ID": ("integer", "o", "ID"),
    "CREATED": ("datetime", "o", "Added"),
    "ENTITY_ID": ("integer", "ri", "Object"),
    "ENTITY_TYPE": ("string", "ri", "Type of the object"),
    "AUTHOR_ID": ("integer", "i", "Author"),
    "COMMENT": ("string", "", "Text"),
    "FILES": ("attached_diskfile", "m", "Files"),
}
_BINDING_COLUMNS: dict[str, Column] = {
    "OWNER_ID": ("integer", "ri", "Entry of the timeline"),
    "ENTITY_ID": ("integer", "ri", "Object"),
    "ENTITY_TYPE": ("string", "ri", "Type of the object"),
}


def add(call: Call) -> MethodResult:
    """crm.timeline.comment.add: the new comment's id."""
    sent = _fields(call)
    for name in _KEY:
        if sent.get(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}")
    named_type = type_by_name(call, sent["ENTITY_TYPE"])
    entity = require_owner(call, named_type, sent["ENTITY_ID"])
    record = {
        "bindings": [[str(sent["ENTITY_ID"]), entity.table]],
        "CREATED": iso(call.portal.clock.wall()),
        "COMMENT": _text(sent),
        "AUTHOR_ID": str(positive_int(sent.get("AUTHOR_ID")) or call.user),
        "FILES": stored_files(sent.get("FILES")),
    }
    number = call.portal.records.add(_COMMENT, record)
    send_record_event(call, "TIMELINECOMMENT", "ADD", number)
    return MethodResult(number)


def update(call: Call) -> MethodResult:
    """crm.timeline.comment.update: the comment's id."""
    number, record = _comment_to_change(call)
    sent = _fields(call)
    changes: Record = {"COMMENT": _text(sent)}
    if "FILES" in sent:
        changes["FILES"] = stored_files(sent["FILES"])
    call.portal.records.put(_COMMENT, number, {**record, **changes})
    send_record_event(call, "TIMELINECOMMENT", "UPDATE", number)
    return MethodResult(number)


def get(call: Call) -> MethodResult:
    """crm.timeline.comment.get: a comment by its id."""
    number = positive_int(call.argument("id"))
    if number is None:
        raise invalid_id()
    record = call.portal.records.get(_COMMENT, number)
    if record is None:
        raise RestError("", "Not found.")
    return MethodResult(_row(number, record, record["bindings"][0]))


def delete(call: Call) -> MethodResult:
    """crm.timeline.comment.delete: null; a given owner must be an object that shows the comment."""
    number, record = _comment_to_change(call)
    if call.argument("ownerTypeId") is not None:
        type_id, item_id = owner_of(call)
        entity = call.portal.types.get(type_id)
        if [str(item_id), entity.table if entity else ""] not in record["bindings"]:
            raise RestError("NOT_FOUND", "Not found.")
    call.portal.records.delete(_COMMENT, number)
    send_record_event(call, "TIMELINECOMMENT", "DELETE", number)
    return MethodResult(None)


def list_(call: Call) -> MethodResult:
    """crm.timeline.comment.list: the comments of the object that the filter names."""
    conditions = call.argument("filter")
    sent = conditions if isinstance(conditions, dict) else {}
    values = {str(name).lstrip("=").upper(): value for name, value in sent.items()}
    entity = type_by_name(call, values.get("ENTITY_TYPE"))
    item = call.item(entity, positive_int(values.get("ENTITY_ID"))) if entity else None
    if entity is None or item is None or not call.may_read(item):
        raise access_denied()
    binding = [str(item.id), entity.table]
    rows = [
        _row(number, record, binding)
        for number, record in call.portal.records.all(_COMMENT).items()
        if binding in record["bindings"]
    ]
    rows, total, following = page(select_as_lead_list(rows, call), first_row(call.params))
    chosen = selected_names(call.params)
    if "*" not in chosen:
        rows = [{name: row[name] for name in row if name in chosen} for row in rows]
    return MethodResult(rows, total, following)


def bind(call: Call) -> MethodResult:
    """crm.timeline.bindings.bind: true."""
    number, record, binding = _binding(call)
    entity = type_by_name(call, binding[1])
    item = call.item(entity, positive_int(binding[0])) if entity else None
    if item is None or not call.may_read(item):
        raise access_denied()
    if binding not in record["bindings"]:
        record["bindings"].append(binding)
        call.portal.records.put(_COMMENT, number, record)
    return MethodResult(result=True)


def unbind(call: Call) -> MethodResult:
    """crm.timeline.bindings.unbind: true."""
    number, record, binding = _binding(call)
    if binding not in record["bindings"]:
        raise RestError("", "Not found.")
    record["bindings"].remove(binding)
    if record["bindings"]:
        call.portal.records.put(_COMMENT, number, record)
    else:
        call.portal.records.delete(_COMMENT, number)
    return MethodResult(result=True)


def bindings(call: Call) -> MethodResult:
    """crm.timeline.bindings.list: the objects that show an entry of the timeline."""
    conditions = call.argument("filter")
    sent = conditions.get("OWNER_ID") if isinstance(conditions, dict) else None
    number = positive_int(sent)
    if number is None:
        raise RestError("", "OWNER_ID is not defined or invalid.")
    record = call.portal.records.get(_COMMENT, number)
    rows: list[dict[str, Any]] = [
        {"OWNER_ID": str(number), "ENTITY_ID": item_id, "ENTITY_TYPE": type_name}
        for item_id, type_name in (record["bindings"] if record else [])
    ]
    return MethodResult(rows, total=len(rows))


def _fields(call: Call) -> Mapping[str, Any]:
    sent = call.argument("fields")
    if not isinstance(sent, dict):
        raise RestError("100", "Could not find value for parameter {fields}")
    return sent


def _text(sent: Mapping[str, Any]) -> str:
    text = str(sent.get("COMMENT") or "").strip()
    if not text:
        raise RestError("INVALID_ARG_VALUE", "Empty comment")
    return text


def _comment_to_change(call: Call) -> tuple[int, Record]:
    """The comment that is to change; raises RestError."""
    if call.argument("id") is None:
        raise RestError("100", "Could not find value for parameter {id}")
    number = positive_int(call.argument("id"))
    record = call.portal.records.get(_COMMENT, number)
    if number is None or record is None:
        raise RestError("NOT_FOUND", "Not found.")
    return number, record


def _binding(call: Call) -> tuple[int, Record, list[str]]:
    """The comment that a call names, and the id and type of the object; raises RestError."""
    sent = call.argument("fields")
    fields = sent if isinstance(sent, dict) else {}
    number = positive_int(fields.get("OWNER_ID"))
    record = call.portal.records.get(_COMMENT, number)
    if number is None or record is None:
        raise RestError("", "OWNER_ID is not defined or invalid.")
    if positive_int(fields.get("ENTITY_ID")) is None:
        raise RestError("", "ENTITY_ID is not defined or invalid.")
    if type_by_name(call, fields.get("ENTITY_TYPE")) is None:
        raise RestError("", "ENTITY_TYPE is not defined or invalid.")
    return number, record, [str(fields["ENTITY_ID"]), str(fields["ENTITY_TYPE"]).lower()]


def _row(number: int, record: Record, binding: list[str]) -> dict[str, Any]:
    """A comment as the methods return it, for one of the objects that show it."""
    item_id, type_name = binding
    files = file_rows(record["FILES"], record["CREATED"], record["AUTHOR_ID"])
    return {
        "ID": str(number),
        "ENTITY_ID": item_id,
        "ENTITY_TYPE": type_name,
        **{name: record[name] for name in ("CREATED", "COMMENT", "AUTHOR_ID")},
        **({"FILES": files} if files else {}),
    }


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.timeline.comment.add": add,
    "crm.timeline.comment.update": update,
    "crm.timeline.comment.get": get,
    "crm.timeline.comment.list": list_,
    "crm.timeline.comment.delete": delete,
    "crm.timeline.comment.fields": lambda _: MethodResult(describe(_COLUMNS)),
    "crm.timeline.bindings.bind": bind,
    "crm.timeline.bindings.unbind": unbind,
    "crm.timeline.bindings.list": bindings,
    "crm.timeline.bindings.fields": lambda _: MethodResult(describe(_BINDING_COLUMNS)),
}

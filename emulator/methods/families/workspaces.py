"""crm.automatedsolution.*: workspaces that gather smart processes.

Documentation: crm/automated-solution/.
"""

from collections.abc import Callable
from typing import Any

from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.families.family import require
from emulator.methods.in_memory_lists import page, select_as_item_list

_FAMILY = "crm.automatedsolution"
_COLUMNS: dict[str, Column] = {
    "id": ("integer", "o", "ID"),
    "title": ("string", "r", "TITLE"),
    "typeIds": ("crm_dynamic_type", "m", "TYPE_IDS"),
}


def add(call: Call) -> MethodResult:
    """crm.automatedsolution.add: the new workspace."""
    call.require_admin("Insufficient permissions")
    record = _with_changes(call, {"typeIds": []})
    return _result(call.portal.records.add(_FAMILY, record), record)


def update(call: Call) -> MethodResult:
    """crm.automatedsolution.update: the changed workspace."""
    call.require_admin("Insufficient permissions")
    number, record = _existing(call)
    changed = _with_changes(call, record)
    call.portal.records.put(_FAMILY, number, changed)
    return _result(number, changed)


def get(call: Call) -> MethodResult:
    """crm.automatedsolution.get: a workspace by its id."""
    return _result(*_existing(call))


def list_(call: Call) -> MethodResult:
    """crm.automatedsolution.list: the workspaces that a filter finds."""
    rows = [{"id": number, **row} for number, row in call.portal.records.all(_FAMILY).items()]
    found = select_as_item_list(rows, call, _COLUMNS)
    page_rows, total, following = page(found, first_row(call.params))
    return MethodResult({"automatedSolutions": page_rows}, total, following)


def delete(call: Call) -> MethodResult:
    """crm.automatedsolution.delete: null; refused while the workspace has smart processes."""
    call.require_admin("Insufficient permissions")
    number, record = _existing(call)
    if record["typeIds"]:
        text = "Cannot delete the workplace that has SPAs. Move them to another workplace"
        raise RestError("HAS_BOUND_TYPES", text)
    call.portal.records.delete(_FAMILY, number)
    return MethodResult(None)


def _with_changes(call: Call, record: Record) -> Record:
    """The record with the sent title and smart processes; raises RestError."""
    sent = call.argument("fields")
    fields = sent if isinstance(sent, dict) else {}
    changed = dict(record)
    if "title" in fields:
        changed["title"] = str(fields["title"] or "")[:255]
    ids = fields.get("typeIds")
    if isinstance(ids, list):
        process_ids = {process.id for process in call.portal.types.processes()}
        changed["typeIds"] = [
            type_id for value in ids if (type_id := positive_int(value)) in process_ids
        ]
    if not changed.get("title"):
        raise RestError("BX_EMPTY_REQUIRED", "The required field 'Title' is not filled")
    return changed


def _existing(call: Call) -> tuple[int, Record]:
    """The workspace that `id` names, with its number; raises RestError."""
    require(call, ("id",))
    number = positive_int(call.argument("id"))
    record = call.portal.records.get(_FAMILY, number)
    if number is None or record is None:
        raise RestError("NOT_FOUND", "Digital workplace with such id not found")
    return number, record


def _result(number: int, record: Record) -> MethodResult:
    workspace: dict[str, Any] = {
        "id": number,
        "title": record["title"],
        "typeIds": record["typeIds"],
    }
    return MethodResult({"automatedSolution": workspace})


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.automatedsolution.add": add,
    "crm.automatedsolution.update": update,
    "crm.automatedsolution.get": get,
    "crm.automatedsolution.list": list_,
    "crm.automatedsolution.delete": delete,
    "crm.automatedsolution.fields": lambda _: MethodResult(describe(_COLUMNS, upper_names=True)),
}

"""crm.type.*: smart processes, types of objects that a portal defines itself.

Documentation: crm/universal/user-defined-object-types/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.setup.categories import Category
from emulator.entities.setup.types import SmartProcess
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.in_memory_lists import page, select_as_item_list
from emulator.methods.record_events import send_record_event

#: User fields of other modules that may link to a smart process; the last one is off by default.
_LINKED = ("CALENDAR_EVENT|UF_CRM_CAL_EVENT", "TASKS_TASK|UF_CRM_TASK")
_LINKED_BUT_OFF = "TASKS_TASK_TEMPLATE|UF_CRM_TASK"


def add(call: Call) -> MethodResult:
    """crm.type.add: the new smart process, with its own pipeline."""
    call.require_admin("Access denied")
    sent = _fields(call)
    portal = call.portal
    type_id = _free_type_id(call, sent.get("entityTypeId"))
    now = iso(portal.clock.wall())
    defaults: dict[str, Any] = {
        "title": "",
        "code": "",
        "createdBy": call.user,
        "entityTypeId": type_id,
        "customSectionId": None,
        **dict.fromkeys(_SWITCHES, "N"),
        "createdTime": now,
        "updatedTime": now,
        "updatedBy": call.user,
    }
    settings = _with_changes(defaults, sent)
    process = portal.types.add({**settings, "title": settings["title"] or f"SPA #{type_id}"})
    pipeline = Category(id=0, name="General", is_default=True)
    category = portal.categories.add(process.entity, pipeline)
    saved = _save(call, process.id, {**process.settings, "categoryId": category.id})
    send_record_event(call, "TYPE", "ADD", process.id)
    if not settings["code"]:  # add leaves out an empty code, get does not
        del saved.result["type"]["code"]
    return saved


def update(call: Call) -> MethodResult:
    """crm.type.update: the changed smart process."""
    call.require_admin("Access denied")
    process = _existing(call)
    sent = _fields(call)
    changes = {"updatedTime": iso(call.portal.clock.wall()), "updatedBy": call.user}
    saved = _save(call, process.id, _with_changes({**process.settings, **changes}, sent))
    send_record_event(call, "TYPE", "UPDATE", process.id)
    return saved


def get(call: Call) -> MethodResult:
    """crm.type.get: a smart process by its id."""
    return MethodResult({"type": _full_row(_existing(call))})


def get_by_type(call: Call) -> MethodResult:
    """crm.type.getByEntityTypeId: a smart process by the type of its items."""
    if call.argument("entityTypeId") is None:
        raise RestError("100", "Could not find value for parameter {entityTypeId}")
    type_id = positive_int(call.argument("entityTypeId"))
    for process in call.portal.types.processes():
        if process.entity.type_id == type_id:
            return MethodResult({"type": _full_row(process)})
    raise RestError(0, "Smart process not found")


def list_(call: Call) -> MethodResult:
    """crm.type.list: the smart processes that a filter finds, without their relations."""
    rows = [_row(process) for process in call.portal.types.processes()]
    found = select_as_item_list(rows, call, _FIELDS)
    page_rows, total, following = page(found, first_row(call.params))
    return MethodResult({"types": page_rows}, total, following)


def delete(call: Call) -> MethodResult:
    """crm.type.delete: an empty list; a smart process with items cannot be deleted."""
    call.require_admin("Access denied")
    process = _existing(call)
    portal = call.portal
    if portal.store.count(process.entity):
        raise RestError("BX_ERROR", "You cannot delete an entity type that has elements")
    for category in portal.categories.all(process.entity):
        portal.categories.delete(process.entity, category)
    portal.types.delete(process)
    portal.schemas.load()
    send_record_event(call, "TYPE", "DELETE", process.id)
    return MethodResult([])


def fields(_: Call) -> MethodResult:
    """crm.type.fields: the fields of a smart process."""
    return MethodResult({"fields": describe(_DESCRIBED, upper_names=True)})


def _save(call: Call, process_id: int, settings: Mapping[str, Any]) -> MethodResult:
    """Store the settings, and return the smart process as crm.type.get does."""
    process = call.portal.types.change(process_id, settings)
    call.portal.schemas.load()
    return MethodResult({"type": _full_row(process)})


def _fields(call: Call) -> Mapping[str, Any]:
    sent = call.argument("fields")
    if sent is None:
        raise RestError("100", "Could not find value for parameter {fields}")
    return sent if isinstance(sent, dict) else {}


def _existing(call: Call) -> SmartProcess:
    if call.argument("id") is None:
        raise RestError("100", "Could not find value for parameter {id}")
    process = call.portal.types.process(positive_int(call.argument("id")))
    if process is None:
        raise RestError(0, "SPA not found")
    return process


def _free_type_id(call: Call, sent: object) -> int:
    """The entityTypeId of a new smart process: the one that was sent, or the next free even one.

    The portal allows 128 to 192, and even numbers from 1030 (crm-type-add); raises RestError.
    """
    used_ids = {process.entity.type_id for process in call.portal.types.processes()}
    if sent is None:
        return next(number for number in range(1030, 10**6, 2) if number not in used_ids)
    type_id = positive_int(sent) or 0
    is_allowed = 128 <= type_id <= 192 or (1030 <= type_id < 10**9 and type_id % 2 == 0)
    if not is_allowed or type_id in used_ids:
        raise RestError("INVALID_ARG_VALUE", "entityTypeId is out of allowed range")
    return type_id


def _with_changes(settings: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the sent ones; invalid ones are ignored."""
    changed = dict(settings)
    for name in ("title", "code"):
        if isinstance(sent.get(name), str):
            changed[name] = sent[name][:255]
    changed |= {name: _switch(sent[name]) for name in _SWITCHES if name in sent}
    if isinstance(sent.get("relations"), dict):
        changed["relations"] = {
            kind: _relations(sent["relations"].get(kind)) for kind in ("parent", "child")
        }
    if isinstance(sent.get("linkedUserFields"), dict):
        linked = changed.get("linkedUserFields", {})
        changed["linkedUserFields"] = linked | {
            str(name)[:100]: _switch(value) for name, value in sent["linkedUserFields"].items()
        }
    return changed


def _relations(sent: object) -> list[dict[str, Any]]:
    """The sent relations as stored; those without a type are left out."""
    rows = list(sent.values()) if isinstance(sent, dict) else sent
    return [
        {
            "entityTypeId": type_id,
            "isChildrenListEnabled": _switch(row.get("isChildrenListEnabled", "Y")),
            "isPredefined": "N",
        }
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and (type_id := positive_int(row.get("entityTypeId")))
    ]


def _switch(value: object) -> str:
    return "Y" if value in ("Y", "y", True, "true", 1, "1") else "N"


def _row(process: SmartProcess) -> dict[str, Any]:
    """A smart process as crm.type.list returns it."""
    settings = process.settings
    return {"id": process.id, **{name: settings[name] for name in _FIELDS if name in settings}}


def _full_row(process: SmartProcess) -> dict[str, Any]:
    """A smart process as crm.type.get returns it, with relations and linked user fields."""
    relations = process.relations
    parents = list(relations.get("parent", ()))
    if process.settings["isClientEnabled"] == "Y":
        fixed = {"isChildrenListEnabled": "Y", "isPredefined": "Y"}
        parents = [{"entityTypeId": type_id, **fixed} for type_id in (3, 4)] + parents
    is_used = process.settings["isUseInUserfieldEnabled"]
    linked = {**dict.fromkeys(_LINKED, is_used), _LINKED_BUT_OFF: "N"}
    return {
        **_row(process),
        "relations": {"parent": parents, "child": list(relations.get("child", ()))},
        "linkedUserFields": {**linked, **process.settings.get("linkedUserFields", {})},
        "customSections": [],
    }


_SWITCHES = {
    "isCategoriesEnabled": "Own pipelines",
    "isStagesEnabled": "Own stages",
    "isBeginCloseDatesEnabled": "Start and end dates",
    "isClientEnabled": "Client",
    "isUseInUserfieldEnabled": "In user fields",
    "isLinkWithProductsEnabled": "Products",
    "isMycompanyEnabled": "Details of your company",
    "isDocumentsEnabled": "Documents",
    "isSourceEnabled": "Source",
    "isObserversEnabled": "Observers",
    "isRecyclebinEnabled": "Recycle bin",
    "isAutomationEnabled": "Robots and triggers",
    "isBizProcEnabled": "Business processes",
    "isSetOpenPermissions": "New pipelines are open to everyone",
    "isPaymentsEnabled": "Payments",
    "isCountersEnabled": "Counters",
}
_FIELDS: dict[str, Column] = {
    "id": ("integer", "o", "ID"),
    "title": ("string", "r", "Title"),
    "code": ("string", "", "Code"),
    "createdBy": ("user", "o", "Created by"),
    "entityTypeId": ("integer", "ri", "Type of object"),
    "customSectionId": ("integer", "i", "Workspace"),
    **{name: ("boolean", "", title) for name, title in _SWITCHES.items()},
    "createdTime": ("datetime", "", "Created"),
    "updatedTime": ("datetime", "", "Modified"),
    "updatedBy": ("user", "o", "Modified by"),
}
#: crm.type.fields does not describe the last two switches.
_DESCRIBED = {
    name: column
    for name, column in _FIELDS.items()
    if name not in {"isPaymentsEnabled", "isCountersEnabled"}
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.type.add": add,
    "crm.type.update": update,
    "crm.type.get": get,
    "crm.type.getbyentitytypeid": get_by_type,
    "crm.type.list": list_,
    "crm.type.delete": delete,
    "crm.type.fields": fields,
}

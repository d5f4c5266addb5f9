"""crm.activity.binding.* and crm.activity.todo.*: the objects of an activity, and to-dos.

Documentation: crm/timeline/activities/binding/, crm/timeline/activities/todo/.
"""

from collections.abc import Callable
from typing import Any

from emulator.clock import portal_iso
from emulator.entities.multifields import positive_int
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.families.family import TEXT_MAX, require
from emulator.methods.timeline.activities import ACTIVITY, save, store_activity
from emulator.methods.timeline.communications import PROVIDER
from emulator.methods.timeline.owners import owner_of

_TODO = "CRM_TODO"
_COLORS = {str(number) for number in range(1, 9)} | {"default"}


def bind(call: Call) -> MethodResult:
    """crm.activity.binding.add: true."""
    number, record = _existing(call, "activityId", "Entity not found")
    owner = list(owner_of(call, "entityTypeId", "entityId"))
    if owner in record["bindings"]:
        text = "Activity is already bound to this entity"
        raise RestError("ACTIVITY_IS_ALREADY_BOUND", text)
    record["bindings"].append(owner)
    call.portal.records.put(ACTIVITY.name, number, record)
    return MethodResult(result=True)


def unbind(call: Call) -> MethodResult:
    """crm.activity.binding.delete: true; the last object of an activity cannot be removed."""
    number, record = _existing(call, "activityId", "Element not found")
    owner = list(owner_of(call, "entityTypeId", "entityId"))
    if owner not in record["bindings"]:
        raise RestError("BINDING_NOT_FOUND", "Activity is not bound to this entity")
    if len(record["bindings"]) == 1:
        text = "The only binding of the activity cannot be deleted"
        raise RestError("LAST_BINDING_CANNOT_BE_DELETED", text)
    record["bindings"].remove(owner)
    call.portal.records.put(ACTIVITY.name, number, record)
    return MethodResult(result=True)


def bindings(call: Call) -> MethodResult:
    """crm.activity.binding.list: the objects of an activity."""
    _, record = _existing(call, "activityId", "Element not found")
    return MethodResult(
        [{"entityTypeId": type_id, "entityId": item_id} for type_id, item_id in record["bindings"]]
    )


def move(call: Call) -> MethodResult:
    """crm.activity.binding.move: true; from one object to another of the same type."""
    names = ("sourceEntityTypeId", "sourceEntityId", "targetEntityTypeId", "targetEntityId")
    number, record = _existing(call, "activityId", "Element not found")
    require(call, names)
    source = [positive_int(call.argument(name)) or 0 for name in names[:2]]
    target = list(owner_of(call, *names[2:]))
    if source[0] != target[0]:
        code = "SOURCE_AND_TARGET_ENTITY_TYPES_ARE_NOT_EQUAL_ERROR"
        raise RestError(code, "Source and target entity types are not equal")
    if source == target:
        code = "SOURCE_AND_TARGET_ENTITY_ID_ARE_EQUAL_ERROR"
        raise RestError(code, "Source and target entities are equal")
    if source not in record["bindings"]:
        raise RestError("BINDING_NOT_FOUND", "Activity is not bound to this entity")
    if target in record["bindings"]:
        raise RestError("ACTIVITY_IS_ALREADY_BOUND", "Activity is already bound to this entity")
    record["bindings"][record["bindings"].index(source)] = target
    if [int(record["OWNER_TYPE_ID"]), int(record["OWNER_ID"])] == source:
        record |= {"OWNER_TYPE_ID": str(target[0]), "OWNER_ID": str(target[1])}
    call.portal.records.put(ACTIVITY.name, number, record)
    return MethodResult(result=True)


def todo_add(call: Call) -> MethodResult:
    """crm.activity.todo.add: the new to-do's id."""
    require(call, ("ownerTypeId", "ownerId", "deadline"))
    owner = owner_of(call)
    record: Record = {"TYPE_ID": str(PROVIDER), "PROVIDER_ID": _TODO, "PROVIDER_TYPE_ID": "TODO"}
    record |= {"SUBJECT": "To-do", "RESPONSIBLE_ID": str(call.user), "SETTINGS": {}}
    record |= _todo_changes(call, _TODO_VALUES)
    return MethodResult({"id": store_activity(call, owner, record)})


def todo_update(call: Call) -> MethodResult:
    """crm.activity.todo.update: the to-do's id."""
    return _todo_save(call, _TODO_VALUES, code="CAN_NOT_UPDATE_COMPLETED_TODO")


def todo_deadline(call: Call) -> MethodResult:
    """crm.activity.todo.updateDeadline: the to-do's id."""
    require(call, ("value",))
    return _todo_save(call, {"value": "DEADLINE"}, code="CAN_NOT_UPDATE_COMPLETED_TODO")


def todo_description(call: Call) -> MethodResult:
    """crm.activity.todo.updateDescription: the to-do's id."""
    return _todo_save(call, {"value": "DESCRIPTION"}, code="CAN_NOT_UPDATE_COMPLETED_TODO")


def todo_responsible(call: Call) -> MethodResult:
    """crm.activity.todo.updateResponsibleUser: the to-do's id."""
    require(call, ("responsibleId",))
    code = "CAN_NOT_UPDATE_RESPONSIBLE_USER_COMPLETED_TODO"
    return _todo_save(call, {"responsibleId": "RESPONSIBLE_ID"}, code)


def todo_color(call: Call) -> MethodResult:
    """crm.activity.todo.updateColor: the to-do's id."""
    require(call, ("colorId",))
    if str(call.argument("colorId")) not in _COLORS:
        raise RestError("CAN_NOT_UPDATE_WRONG_COLOR_TODO", "Wrong color")
    return _todo_save(call, names={}, code="CAN_NOT_UPDATE_COLOR_COMPLETED_TODO")


def _todo_save(call: Call, names: dict[str, str], code: str) -> MethodResult:
    """Change a to-do; returns its id.

    `names`: parameters and their columns; `code`: of the error if the to-do is completed.
    """
    owner = list(owner_of(call))
    number, record = _existing(call, "id")
    if record.get("PROVIDER_ID") != _TODO or owner not in record["bindings"]:
        raise RestError("NOT_FOUND", "Not found.")
    if record["COMPLETED"] == "Y":
        raise RestError(code, "A completed to-do cannot be changed")
    settings = record["SETTINGS"] if isinstance(record["SETTINGS"], dict) else {}
    changes = _todo_changes(call, names)
    changes["SETTINGS"] = {**settings, **changes["SETTINGS"]}
    save(call, number, {**record, **changes})
    return MethodResult({"id": number})


def _todo_changes(call: Call, names: dict[str, str]) -> Record:
    """The columns of the parameters that were sent, with SETTINGS; raises RestError."""
    changes: Record = {}
    for name, column in names.items():
        value = call.argument(name)
        if value is None:
            continue
        text: str | None = str(value)[:TEXT_MAX]
        if column == "DEADLINE":
            text = portal_iso(str(value))
            if text is None:
                raise RestError("WRONG_DATETIME_FORMAT", "Wrong datetime format")
        elif column == "RESPONSIBLE_ID" and positive_int(value) is None:
            message = 'Parameter "responsibleId" must be greater than 0'
            raise RestError("INVALID_ARG_VALUE", message)
        changes[column] = text
    color = call.argument("colorId")
    changes["SETTINGS"] = {"COLOR": str(color)} if color is not None else {}
    return changes


def _existing(call: Call, name: str, missing: str = "Not found.") -> tuple[int, Any]:
    """The activity that a parameter names; raises RestError."""
    require(call, (name,))
    number = positive_int(call.argument(name))
    record = call.portal.records.get(ACTIVITY.name, number)
    if number is None or record is None:
        raise RestError("NOT_FOUND", missing)
    return number, record


_TODO_VALUES = {
    "deadline": "DEADLINE",
    "title": "SUBJECT",
    "description": "DESCRIPTION",
    "responsibleId": "RESPONSIBLE_ID",
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.activity.binding.add": bind,
    "crm.activity.binding.delete": unbind,
    "crm.activity.binding.list": bindings,
    "crm.activity.binding.move": move,
    "crm.activity.todo.add": todo_add,
    "crm.activity.todo.update": todo_update,
    "crm.activity.todo.updatedeadline": todo_deadline,
    "crm.activity.todo.updatedescription": todo_description,
    "crm.activity.todo.updateresponsibleuser": todo_responsible,
    "crm.activity.todo.updatecolor": todo_color,
}

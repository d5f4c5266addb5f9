"""crm.activity.badge.* and crm.activity.type.*: badges and types that an application defines.

A real portal answers applications only (setting `application_methods`). Documentation:
crm/timeline/activities/configurable/badges/, crm/timeline/activities/types/.
"""

from collections.abc import Callable
from typing import Any

from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.portal.options import require_application

_BADGE, _TYPE = "crm.activity.badge", "crm.activity.type"
_BADGE_NAMES = ("code", "title", "value", "type")


def badge_add(call: Call) -> MethodResult:
    """crm.activity.badge.add: the badge; one with the same code is replaced."""
    call.require_admin()
    record = {name: call.argument(name) for name in _BADGE_NAMES}
    if not all(record.values()):
        raise RestError("REQUIRED_ARG_MISSING", "Required fields are not filled")
    found = _find(call, _BADGE, "code", record["code"])
    if found:
        call.portal.records.put(_BADGE, found[0], record)
    else:
        call.portal.records.add(_BADGE, record)
    return MethodResult({"badge": record})


def badge_get(call: Call) -> MethodResult:
    """crm.activity.badge.get: a badge by its code."""
    _, badge = _existing_badge(call)
    return MethodResult({"badge": badge})


def badge_list(call: Call) -> MethodResult:
    """crm.activity.badge.list: all badges."""
    return MethodResult({"badges": list(call.portal.records.all(_BADGE).values())})


def badge_delete(call: Call) -> MethodResult:
    """crm.activity.badge.delete: true."""
    call.require_admin()
    number, _ = _existing_badge(call)
    call.portal.records.delete(_BADGE, number)
    return MethodResult(result=True)


def type_add(call: Call) -> MethodResult:
    """crm.activity.type.add: true."""
    _require_admin_of_application(call)
    sent = call.argument("fields")
    fields = sent if isinstance(sent, dict) else {}
    code = str(fields.get("TYPE_ID") or "")[:100]
    if not code:
        raise RestError("INVALID_ARG_VALUE", "The required field TYPE_ID is not filled")
    if _find(call, _TYPE, "TYPE_ID", code):
        text = f"Custom activity type with TYPE_ID '{code}' already exists"
        raise RestError("INVALID_ARG_VALUE", text)
    is_configurable = fields.get("IS_CONFIGURABLE_TYPE") == "Y"
    record = {"TYPE_ID": code, "NAME": str(fields.get("NAME") or "")[:255]}
    record |= {"IS_CONFIGURABLE_TYPE": "Y" if is_configurable else "N", "ICON_ID": "0"}
    call.portal.records.add(_TYPE, record)
    return MethodResult(result=True)


def type_list(call: Call) -> MethodResult:
    """crm.activity.type.list: all types."""
    _require_admin_of_application(call)
    return MethodResult(list(call.portal.records.all(_TYPE).values()))


def type_delete(call: Call) -> MethodResult:
    """crm.activity.type.delete: true."""
    _require_admin_of_application(call)
    code = str(call.argument("TYPE_ID") or "")[:100]
    found = _find(call, _TYPE, "TYPE_ID", code)
    if found is None:
        text = f"Custom activity type with TYPE_ID '{code}' does not exist"
        raise RestError("INVALID_ARG_VALUE", text)
    call.portal.records.delete(_TYPE, found[0])
    return MethodResult(result=True)


def _require_admin_of_application(call: Call) -> None:
    require_application(call)
    call.require_admin()


def _find(call: Call, family: str, name: str, value: Any) -> tuple[int, Record] | None:
    """The record whose column `name` has this value, with its number, or None."""
    rows = call.portal.records.all(family)
    return next(((number, row) for number, row in rows.items() if row[name] == value), None)


def _existing_badge(call: Call) -> tuple[int, Record]:
    """The badge that `code` names, with its record's number; raises RestError."""
    found = _find(call, _BADGE, "code", call.argument("code"))
    if found is None:
        raise RestError("NOT_FOUND", "Not found.")
    return found


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.activity.badge.add": badge_add,
    "crm.activity.badge.get": badge_get,
    "crm.activity.badge.list": badge_list,
    "crm.activity.badge.delete": badge_delete,
    "crm.activity.type.add": type_add,
    "crm.activity.type.list": type_list,
    "crm.activity.type.delete": type_delete,
}

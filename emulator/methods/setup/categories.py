"""crm.category.*: pipelines of deals. Documentation: crm/universal/category/."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.entities.categories import Category
from emulator.entities.entity import BY_TYPE_ID, DEAL
from emulator.entities.fields.field import upper_name
from emulator.entities.multifields import positive_int
from emulator.errors import RestError
from emulator.methods.result import Call, MethodResult
from emulator.users import ADMIN


def listed(call: Call) -> MethodResult:
    """crm.category.list: all pipelines."""
    _require_pipelines(call)
    shown = [category.shown() for category in call.portal.categories.all()]
    return MethodResult({"categories": shown}, total=len(shown))


def get(call: Call) -> MethodResult:
    """crm.category.get: a pipeline."""
    return MethodResult({"category": _existing(call).shown()})


def add(call: Call) -> MethodResult:
    """crm.category.add: the new pipeline."""
    _require_admin(call)
    _require_pipelines(call)
    sent = _fields(call)
    if not sent.get("name"):
        raise RestError(0, "Field 'NAME' is required")
    made = call.portal.categories.add(_changed(Category(0, ""), sent))
    return MethodResult({"category": made.shown()})


def update(call: Call) -> MethodResult:
    """crm.category.update: the changed pipeline."""
    _require_admin(call)
    changed = _changed(_existing(call), _fields(call))
    call.portal.categories.put(changed)
    return MethodResult({"category": changed.shown()})


def delete(call: Call) -> MethodResult:
    """crm.category.delete: null; neither the default pipeline nor one with deals can go."""
    _require_admin(call)
    category = _existing(call)
    if category.is_default or not category.id:
        raise RestError(0, "Default deal category cannot be deleted")
    condition = "WHERE json_extract(data, '$.CATEGORY_ID') = ?"
    if call.portal.store.count(DEAL, condition, (str(category.id),)):
        raise RestError(0, f"Deals related to the funnel {category.name} found")
    call.portal.categories.delete(category)
    return MethodResult(None)


def fields(call: Call) -> MethodResult:
    """crm.category.fields: the fields of a pipeline."""
    _require_pipelines(call)
    return MethodResult(
        {"fields": {name: _described(name, *description) for name, description in _FIELDS.items()}}
    )


def _described(name: str, kind: str, flags: str) -> dict[str, Any]:
    return {
        "type": kind,
        "isRequired": "r" in flags,
        "isReadOnly": "o" in flags,
        "isImmutable": False,
        "isMultiple": False,
        "isDynamic": False,
        "title": upper_name(name),
        "upperName": upper_name(name),
    }


def _require_pipelines(call: Call) -> None:
    entity = BY_TYPE_ID.get(positive_int(call.argument("entityTypeId")) or 0)
    if entity is None:
        raise RestError("NOT_FOUND", "Smart process not found")
    if entity is not DEAL:
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {entity.name} is not supported")


def _require_admin(call: Call) -> None:
    if call.user != ADMIN:
        raise RestError("ACCESS_DENIED", "Access denied")


def _existing(call: Call) -> Category:
    _require_pipelines(call)
    sent = call.argument("id")
    category_id = 0 if sent in (0, "0") else positive_int(sent)
    found = None if category_id is None else call.portal.categories.get(category_id)
    if found is None:
        raise RestError("NOT_FOUND", "Element not found")
    return found


def _fields(call: Call) -> dict[str, Any]:
    sent = call.argument("fields")
    return sent if isinstance(sent, dict) else {}


def _changed(category: Category, sent: dict[str, Any]) -> Category:
    changes: dict[str, Any] = {}
    for name, attribute in (
        ("name", "name"),
        ("originId", "origin_id"),
        ("originatorId", "originator_id"),
    ):
        if isinstance(sent.get(name), str):
            changes[attribute] = sent[name][:255]
    if place := positive_int(sent.get("sort")):
        changes["sort"] = place
    if sent.get("isDefault") in ("Y", True, "1", 1):
        changes["is_default"] = True
    return replace(category, **changes)


_FIELDS = {
    "id": ("integer", "o"),
    "name": ("string", ""),
    "sort": ("integer", ""),
    "entityTypeId": ("integer", "ro"),
    "isDefault": ("boolean", "o"),
    "originId": ("string", ""),
    "originatorId": ("string", ""),
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.category.list": listed,
    "crm.category.get": get,
    "crm.category.add": add,
    "crm.category.update": update,
    "crm.category.delete": delete,
    "crm.category.fields": fields,
}

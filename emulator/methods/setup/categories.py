"""crm.category.*: pipelines of deals, invoices and smart processes.

Documentation: crm/universal/category/.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.entities.entity import DEAL, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.setup.categories import Category
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import describe

#: What crm.category.list and update say of an unknown type, unlike the other methods.
_MISSING = "Smart process not found"


def list_(call: Call) -> MethodResult:
    """crm.category.list: all pipelines."""
    entity = _entity(call, _MISSING)
    rows = [category.row() for category in call.portal.categories.all(entity)]
    return MethodResult({"categories": rows}, total=len(rows))


def get(call: Call) -> MethodResult:
    """crm.category.get: a pipeline."""
    _, category = _existing(call)
    return MethodResult({"category": category.row()})


def add(call: Call) -> MethodResult:
    """crm.category.add: the new pipeline."""
    call.require_admin("Access denied")
    entity, sent = _entity(call), _fields(call)
    if not entity.has_editable_pipelines:
        raise RestError("ADDING_DISABLED", "Adding a system category is prohibited")
    if not sent.get("name"):
        raise RestError(0, "Field 'NAME' is required")
    category = call.portal.categories.add(entity, _with_changes(Category(id=0, name=""), sent))
    return MethodResult({"category": category.row()})


def update(call: Call) -> MethodResult:
    """crm.category.update: the changed pipeline."""
    call.require_admin("Access denied")
    _, category = _existing(call, _MISSING)
    changed = _with_changes(category, _fields(call))
    call.portal.categories.put(changed)
    return MethodResult({"category": changed.row()})


def delete(call: Call) -> MethodResult:
    """crm.category.delete: null; a default pipeline, and one with objects, can't be deleted."""
    call.require_admin("Access denied")
    entity, category = _existing(call)
    condition = "WHERE json_extract(data, '$.CATEGORY_ID') = ?"
    is_used = call.portal.store.count(entity, condition, (str(category.id),)) > 0
    if entity is DEAL:
        if category.is_default or not category.id:
            raise RestError(0, "Default deal category cannot be deleted")
        if is_used:
            raise RestError(0, f"Deals related to the funnel {category.name} found")
    elif not entity.has_editable_pipelines:
        raise RestError("REMOVING_DISABLED", "Deletion of system category is prohibited")
    elif category.is_default:
        raise RestError("BX_ERROR", "This funnel is the default funnel")
    elif is_used:
        raise RestError("BX_ERROR", "Elements related to the funnel found")
    call.portal.categories.delete(entity, category)
    return MethodResult(None)


def fields(call: Call) -> MethodResult:
    """crm.category.fields: the fields of a pipeline."""
    _entity(call)
    return MethodResult({"fields": describe(_FIELDS, upper_names=True)})


def _entity(call: Call, missing: str = "SPA not found") -> Entity:
    entity = call.portal.types.get(positive_int(call.argument("entityTypeId")))
    if entity is None:
        raise RestError("NOT_FOUND", missing)
    if not entity.has_stages_per_pipeline:
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {entity.name} is not supported")
    return entity


def _existing(call: Call, missing: str = "SPA not found") -> tuple[Entity, Category]:
    """The type and pipeline that a call names; raises RestError."""
    entity = _entity(call, missing)
    sent = call.argument("id")
    category_id = 0 if sent in (0, "0") else positive_int(sent)
    found = None if category_id is None else call.portal.categories.get(entity, category_id)
    if found is None:
        raise RestError("NOT_FOUND", "Element not found")
    return entity, found


def _fields(call: Call) -> dict[str, Any]:
    sent = call.argument("fields")
    return sent if isinstance(sent, dict) else {}


def _with_changes(category: Category, sent: dict[str, Any]) -> Category:
    """The pipeline with the sent values; invalid ones are ignored."""
    changes: dict[str, Any] = {}
    for name, attribute in (
        ("name", "name"),
        ("originId", "origin_id"),
        ("originatorId", "originator_id"),
    ):
        if isinstance(sent.get(name), str):
            changes[attribute] = sent[name][:255]
    if sort := positive_int(sent.get("sort")):
        changes["sort"] = sort
    if sent.get("isDefault") in ("Y", True, "1", 1):
        changes["is_default"] = True
    return replace(category, **changes)


_FIELDS = {
    "id": ("integer", "o", "ID"),
    "name": ("string", "", "NAME"),
    "sort": ("integer", "", "SORT"),
    "entityTypeId": ("integer", "ro", "ENTITY_TYPE_ID"),
    "isDefault": ("boolean", "o", "IS_DEFAULT"),
    "originId": ("string", "", "ORIGIN_ID"),
    "originatorId": ("string", "", "ORIGINATOR_ID"),
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.category.list": list_,
    "crm.category.get": get,
    "crm.category.add": add,
    "crm.category.update": update,
    "crm.category.delete": delete,
    "crm.category.fields": fields,
}

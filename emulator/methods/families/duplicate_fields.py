"""crm.duplicate.volatileType.*: further fields in which duplicates are searched.

Documentation: crm/duplicates/volatile-type/.
"""

from collections.abc import Callable
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, LEAD, Entity
from emulator.entities.multifields import positive_int
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.families.family import require

_FAMILY = "crm.duplicate.volatiletype"
_TYPES = {entity.type_id: entity for entity in (LEAD, CONTACT, COMPANY)}
_REGISTERED_MAX = 7


def fields(call: Call) -> MethodResult:
    """crm.duplicate.volatileType.fields: the fields that may be registered."""
    call.require_admin("Access denied")
    type_id = positive_int(call.argument("entityTypeId"))
    rows: list[dict[str, Any]] = [
        {"entityTypeId": entity.type_id, "fieldCode": code, "fieldTitle": title}
        for entity in _TYPES.values()
        if type_id in (None, entity.type_id)
        for code, title in _available(call, entity).items()
    ]
    return MethodResult(rows)


def list_(call: Call) -> MethodResult:
    """crm.duplicate.volatileType.list: the registered fields."""
    call.require_admin("Access denied")
    rows = call.portal.records.all(_FAMILY)
    return MethodResult([{"id": number, **record} for number, record in rows.items()])


def register(call: Call) -> MethodResult:
    """crm.duplicate.volatileType.register: the id of the registered field."""
    call.require_admin("Access denied")
    require(call, ("entityTypeId", "fieldCode"))
    entity = _TYPES.get(positive_int(call.argument("entityTypeId")) or 0)
    code = str(call.argument("fieldCode"))
    if entity is None or code not in _available(call, entity):
        raise RestError("FIELD_NOT_FOUND", "Field not found")
    record = {"entityTypeId": entity.type_id, "fieldCode": code}
    rows = call.portal.records.all(_FAMILY)
    existing_id = next((number for number, row in rows.items() if row == record), None)
    if existing_id is None and len(rows) >= _REGISTERED_MAX:
        text = "There is already a maximum number of volatile types"
        raise RestError("MAX_TYPES_COUNT_EXCEEDED", text)
    return MethodResult({"id": existing_id or call.portal.records.add(_FAMILY, record)})


def unregister(call: Call) -> MethodResult:
    """crm.duplicate.volatileType.unregister: true."""
    call.require_admin("Access denied")
    require(call, ("id",))
    number = positive_int(call.argument("id"))
    if number is None or call.portal.records.get(_FAMILY, number) is None:
        raise RestError("TYPE_IS_NOT_ASSIGNED", "This type is not assigned")
    call.portal.records.delete(_FAMILY, number)
    return MethodResult(result=True)


def _available(call: Call, entity: Entity) -> dict[str, str]:
    """The text fields of a type of object, with their titles."""
    schema = call.portal.schemas[entity]
    titles: dict[str, str] = {
        name: schema.title(name) for name in ("TITLE", "ADDRESS") if name in schema.fields
    }
    texts = (field for field in schema.user_fields.values() if field.kind == "string")
    return titles | {field.name: field.title for field in texts}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.duplicate.volatiletype.fields": fields,
    "crm.duplicate.volatiletype.list": list_,
    "crm.duplicate.volatiletype.register": register,
    "crm.duplicate.volatiletype.unregister": unregister,
}

"""The CRM objects that records of the timeline belong to."""

from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.multifields import positive_int
from emulator.errors import RestError
from emulator.methods.call import Call
from emulator.methods.families.family import require


def type_by_name(call: Call, name: Any) -> Entity | None:
    """A type by its lower-case name: `deal`, `dynamic_130`."""
    lower_name = str(name or "").lower()
    return next((entity for entity in call.portal.types.all() if entity.table == lower_name), None)


def require_owner(call: Call, entity: Entity | None, item_id: Any) -> Entity:
    """The type of an object; raises RestError unless it exists and the user may read it."""
    item = call.item(entity, positive_int(item_id)) if entity else None
    if entity is None or item is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found")
    if not call.may_read(item):
        raise RestError("ACCESS_DENIED", "Access denied.")
    return entity


def owner_of(
    call: Call, type_name: str = "ownerTypeId", id_name: str = "ownerId"
) -> tuple[int, int]:
    """The type and id of the object that two parameters name; raises RestError."""
    require(call, (type_name, id_name))
    named_type = call.portal.types.get(positive_int(call.argument(type_name)))
    item_id = positive_int(call.argument(id_name)) or 0
    entity = require_owner(call, named_type, item_id)
    return entity.type_id, item_id

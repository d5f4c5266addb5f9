"""crm.item.*: objects of any type; names of fields in camel case, multifield rows in `fm`.

Documentation: crm/universal/.
"""

from typing import Any

from emulator.entities.entity import LEAD, Entity
from emulator.entities.multifields import from_item_fm, positive_int
from emulator.entities.store import Item
from emulator.entities.views import fm_rows, item_row
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.writes import mandatory, save
from emulator.writes.write import Write


def add(call: Call) -> MethodResult:
    """crm.item.add: the new object, with the ids of its multifield rows."""
    entity = entity_of(call)
    return _view(call, entity, save.add(call.portal, _write(entity, "crm.item.add", call)))


def update(call: Call) -> MethodResult:
    """crm.item.update: the updated object; saves nothing if nothing changes."""
    entity, item = _existing(call, "Access denied")
    write = _write(entity, "crm.item.update", call)
    return _view(call, entity, save.update(call.portal, item, write, skip_unchanged=True))


def get(call: Call) -> MethodResult:
    """crm.item.get: the object."""
    return _view(call, *_existing(call, "You do not have permission to view this item"))


def delete(call: Call) -> MethodResult:
    """crm.item.delete: an empty list."""
    entity, item = _existing(call, "Access denied", "Item not found")
    write = Write(
        entity, "crm.item.delete", sent={}, fields={}, application=call.application, user=call.user
    )
    save.delete(call.portal, item, write)
    return MethodResult([], lead=item.id if entity is LEAD else None)


def fields(call: Call) -> MethodResult:
    """crm.item.fields: the fields of an object, in camel case."""
    entity = entity_of(call)
    names = mandatory.field_names(call.portal, entity)
    schema = call.portal.schemas[entity]
    described = schema.item_descriptions(names, original_names=call.keeps_original_names)
    return MethodResult({"fields": described})


def entity_of(call: Call) -> Entity:
    """The type of object that `entityTypeId` names; raises RestError."""
    sent = call.argument("entityTypeId")
    if sent is None:
        raise _missing_parameter("entityTypeId")
    entity = call.portal.types.get(positive_int(sent))
    if entity is None:
        raise RestError("NOT_FOUND", "Smart process not found")
    return entity


def item_fields(call: Call, entity: Entity, sent: dict[str, Any]) -> dict[str, Any]:
    """The fields that a client sent, by upper-case name; unknown ones are left out."""
    schema = call.portal.schemas[entity]
    by_upper_name = {
        schema.by_camel_name[name].name: value
        for name, value in sent.items()
        if name in schema.by_camel_name
    }
    if call.keeps_original_names:
        by_upper_name |= {name: sent[name] for name in schema.user_fields if name in sent}
    return by_upper_name


def _existing(
    call: Call, denied_text: str, not_found_text: str = "Element not found"
) -> tuple[Entity, Item]:
    """The type and object that a call names; raises RestError with these texts."""
    entity = entity_of(call)
    sent = call.argument("id")
    if sent is None:
        raise _missing_parameter("id")
    item = call.item(entity, positive_int(sent))
    if item is None:
        raise RestError("NOT_FOUND", not_found_text)
    if not call.may_read(item):
        raise RestError("ACCESS_DENIED", denied_text)
    return entity, item


def _missing_parameter(name: str) -> RestError:
    return RestError("100", f"Could not find value for parameter {{{name}}}")


def _view(call: Call, entity: Entity, item: Item) -> MethodResult:
    schema = call.portal.schemas[entity]
    view = item_row(schema, item, original_names=call.keeps_original_names)
    if entity.has_multifields:
        view["fm"] = fm_rows(item)
    return MethodResult({"item": view}, lead=item.id if entity is LEAD else None)


def _write(entity: Entity, method: str, call: Call) -> Write:
    sent: Any = call.argument("fields")
    if sent is None:
        raise _missing_parameter("fields")
    camel_fields = sent if isinstance(sent, dict) else {}
    rows = from_item_fm(camel_fields.get("fm")) if entity.has_multifields else []
    fields = item_fields(call, entity, camel_fields)
    return Write(entity, method, sent, fields, rows, call.application, call.user)


METHODS = {
    "crm.item.add": add,
    "crm.item.update": update,
    "crm.item.get": get,
    "crm.item.delete": delete,
    "crm.item.fields": fields,
}

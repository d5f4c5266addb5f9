"""crm.requisite.link.*: the requisites used for an object, such as a deal.

Documentation: crm/requisites/links/.
"""

from collections.abc import Callable

from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.families.requisites import BANK_DETAIL, REQUISITE
from emulator.methods.in_memory_lists import page, select_as_lead_list

_LINK = "crm.requisite.link"
_LINK_COLUMNS: dict[str, Column] = {
    "ENTITY_TYPE_ID": ("integer", "ri", "Type of object"),
    "ENTITY_ID": ("integer", "ri", "Object"),
    "REQUISITE_ID": ("integer", "r", "Requisites"),
    "BANK_DETAIL_ID": ("integer", "r", "Bank details"),
    "MC_REQUISITE_ID": ("integer", "r", "Requisites of your company"),
    "MC_BANK_DETAIL_ID": ("integer", "r", "Bank details of your company"),
}


def link_register(call: Call) -> MethodResult:
    """crm.requisite.link.register: true; an object has one link."""
    sent = call.require_fields()
    for name in ("ENTITY_TYPE_ID", "ENTITY_ID"):
        if positive_int(sent.get(name)) is None:
            raise RestError("", f"{name} is not defined or invalid.")
    entity = call.portal.types.get(positive_int(sent["ENTITY_TYPE_ID"]))
    if entity is None or call.item(entity, positive_int(sent["ENTITY_ID"])) is None:
        raise RestError("", "Entity is not found")
    record = {name: str(positive_int(sent.get(name)) or 0) for name in _LINK_COLUMNS}
    for name, family in (("REQUISITE_ID", REQUISITE), ("BANK_DETAIL_ID", BANK_DETAIL)):
        for column in (name, f"MC_{name}"):
            if record[column] != "0":
                family.by_id(call, int(record[column]))
    found = _find_link(call, record["ENTITY_TYPE_ID"], record["ENTITY_ID"])
    if found:
        call.portal.records.put(_LINK, found[0], record)
    else:
        call.portal.records.add(_LINK, record)
    return MethodResult(result=True)


def link_get(call: Call) -> MethodResult:
    """crm.requisite.link.get: the link of an object."""
    type_id, item_id = _object_key(call)
    found = _find_link(call, type_id, item_id)
    if found is None:
        raise RestError("", "Not found")
    _, link = found
    key = {"ENTITY_TYPE_ID": int(type_id), "ENTITY_ID": int(item_id)}
    return MethodResult({**link, **key})


def link_list(call: Call) -> MethodResult:
    """crm.requisite.link.list: the links that a filter finds."""
    found = select_as_lead_list(list(call.portal.records.all(_LINK).values()), call)
    return MethodResult(*page(found, first_row(call.params)))


def link_unregister(call: Call) -> MethodResult:
    """crm.requisite.link.unregister: true."""
    found = _find_link(call, *_object_key(call))
    if found:
        call.portal.records.delete(_LINK, found[0])
    return MethodResult(result=True)


def _object_key(call: Call) -> tuple[str, str]:
    """The type and id of the object that a call names, as links store them; raises RestError."""
    numbers = []
    for name in ("entityTypeId", "entityId"):
        number = positive_int(call.argument(name))
        if number is None:
            raise RestError("", f"{name} is not defined or invalid.")
        numbers.append(str(number))
    return numbers[0], numbers[1]


def _find_link(call: Call, type_id: str, item_id: str) -> tuple[int, Record] | None:
    """The link of an object with its record's number, or None."""
    for number, record in call.portal.records.all(_LINK).items():
        if (record["ENTITY_TYPE_ID"], record["ENTITY_ID"]) == (type_id, item_id):
            return number, record
    return None


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.requisite.link.register": link_register,
    "crm.requisite.link.get": link_get,
    "crm.requisite.link.list": link_list,
    "crm.requisite.link.unregister": link_unregister,
    "crm.requisite.link.fields": lambda _: MethodResult(describe(_LINK_COLUMNS)),
}

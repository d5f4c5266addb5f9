"""crm.address.*: addresses of requisites, leads and the like, one per type.

Documentation: crm/requisites/addresses/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row, selected_names
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.families.family import stored_value, texts
from emulator.methods.families.requisites import REQUISITE
from emulator.methods.in_memory_lists import page, select_as_lead_list

_FAMILY = "crm.address"
#: The ENTITY_TYPE_ID of an address of requisites.
_REQUISITE = "8"
_KEY = ("TYPE_ID", "ENTITY_TYPE_ID", "ENTITY_ID")
_COLUMNS: dict[str, Column] = {
    **{name: ("integer", "ri", name) for name in _KEY},
    **texts("ADDRESS_1", "ADDRESS_2", "CITY", "POSTAL_CODE", "REGION", "PROVINCE", "COUNTRY"),
    "COUNTRY_CODE": ("string", "", "COUNTRY_CODE"),
    "LOC_ADDR_ID": ("integer", "", "LOC_ADDR_ID"),
    "ANCHOR_TYPE_ID": ("integer", "o", "ANCHOR_TYPE_ID"),
    "ANCHOR_ID": ("integer", "o", "ANCHOR_ID"),
}


def add(call: Call) -> MethodResult:
    """crm.address.add: true."""
    sent, key = _parameters(call)
    if _find(call, key):
        raise RestError("", "TypeAddress exists.")
    record = dict.fromkeys(_COLUMNS) | _values(sent) | key
    record |= _anchor(call, key)
    call.portal.records.add(_FAMILY, record)
    return MethodResult(result=True)


def update(call: Call) -> MethodResult:
    """crm.address.update: true."""
    sent, key = _parameters(call)
    number, record = _existing(call, key)
    call.portal.records.put(_FAMILY, number, {**record, **_values(sent), **key})
    return MethodResult(result=True)


def delete(call: Call) -> MethodResult:
    """crm.address.delete: true."""
    _, key = _parameters(call)
    number, _ = _existing(call, key)
    call.portal.records.delete(_FAMILY, number)
    return MethodResult(result=True)


def list_(call: Call) -> MethodResult:
    """crm.address.list: the addresses that a filter finds."""
    found = select_as_lead_list(list(call.portal.records.all(_FAMILY).values()), call)
    rows, total, following = page(found, first_row(call.params))
    chosen = selected_names(call.params)
    if "*" not in chosen:
        rows = [{name: row[name] for name in row if name in chosen} for row in rows]
    return MethodResult(rows, total, following)


def _parameters(call: Call) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The parameters of a call, and the type and owner of the address that they name."""
    sent = call.require_fields()
    key = {}
    for name in _KEY:
        number = positive_int(sent.get(name))
        if number is None:
            raise RestError("", f"{name} is not defined or invalid.")
        key[name] = str(number)
    return sent, key


def _find(call: Call, key: Mapping[str, str]) -> tuple[int, Record] | None:
    """The address with this type and owner, and its record's number; None if there is none."""
    for number, record in call.portal.records.all(_FAMILY).items():
        if all(record[name] == value for name, value in key.items()):
            return number, record
    return None


def _existing(call: Call, key: Mapping[str, str]) -> tuple[int, Record]:
    """As `_find`; raises RestError if there is none."""
    found = _find(call, key)
    if found is None:
        raise RestError("", "TypeAddress not found.")
    return found


def _values(sent: Mapping[str, Any]) -> Record:
    """The columns that a client may change, in their stored form."""
    return {
        name: stored_value(kind, sent[name])
        for name, (kind, flags, _) in _COLUMNS.items()
        if name in sent and not flags
    }


def _anchor(call: Call, key: Mapping[str, str]) -> Record:
    """The object that an address belongs to: for an address of requisites, their owner."""
    owner = (key["ENTITY_TYPE_ID"], key["ENTITY_ID"])
    if owner[0] == _REQUISITE:
        found = call.portal.records.get(REQUISITE.name, int(owner[1]))
        owner = (found["ENTITY_TYPE_ID"], found["ENTITY_ID"]) if found else owner
    return {"ANCHOR_TYPE_ID": owner[0], "ANCHOR_ID": owner[1]}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.address.add": add,
    "crm.address.update": update,
    "crm.address.delete": delete,
    "crm.address.list": list_,
    "crm.address.fields": lambda _: MethodResult(describe(_COLUMNS)),
}

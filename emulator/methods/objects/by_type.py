"""crm.lead.*, crm.deal.* and so on, the methods of one type of object each.

Names of fields are in upper case, values are texts.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT, DEAL, ENTITIES, LEAD, QUOTE, Entity
from emulator.entities.multifields import RowChange, from_upper_fields, positive_int
from emulator.entities.store import Item
from emulator.entities.views import multifields, upper_row
from emulator.errors import RestError, access_denied, invalid_id, not_found
from emulator.methods.call import Call, MethodResult
from emulator.writes import mandatory, save
from emulator.writes.write import Write


def add(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.add: the new object's id, a bare integer."""
    item = save.add(call.portal, _write(entity, "add", call))
    return MethodResult(item.id, lead=_journal_lead(entity, item))


def update(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.update: true; saves the object even if nothing changes."""
    item = _existing(entity, call, _not_found_on_update(entity))
    save.update(call.portal, item, _write(entity, "update", call))
    return MethodResult(result=True, lead=_journal_lead(entity, item))


def get(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.get: all fields and the multifields that have rows."""
    item = _existing(entity, call, not_found())
    return MethodResult({**upper_row(call.portal.schemas[entity], item), **multifields(item)})


def delete(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.delete: true."""
    item = _existing(entity, call, _not_found_on_delete(entity))
    method = f"crm.{entity.table}.delete"
    write = Write(entity, method, sent={}, fields={}, application=call.application, user=call.user)
    save.delete(call.portal, item, write)
    return MethodResult(result=True, lead=_journal_lead(entity, item))


def fields(entity: Entity, call: Call) -> MethodResult:
    """crm.lead.fields: the fields of an object, user fields included."""
    names = mandatory.field_names(call.portal, entity)
    return MethodResult(call.portal.schemas[entity].descriptions(names))


def _not_found_on_update(entity: Entity) -> RestError:
    """The error for a missing object, whose text differs by type (crm-contact-update.md…)."""
    texts = {
        CONTACT: "Contact is not found",
        COMPANY: "Company is not found",
        QUOTE: "Quote is not found",
    }
    return RestError("", texts[entity]) if entity in texts else not_found()


def _not_found_on_delete(entity: Entity) -> RestError:
    """The error for an object to delete that does not exist; it differs for some types."""
    if entity in {CONTACT, QUOTE}:
        return RestError("ERROR_CORE", "Element not found")
    return _not_found_on_update(entity)


def _existing(entity: Entity, call: Call, not_found_error: RestError) -> Item:
    """The object that `id` names; raises RestError, `not_found_error` if there is none."""
    item_id = positive_int(call.argument("id"))
    if item_id is None:
        raise invalid_id()
    item = call.item(entity, item_id)
    if item is None:
        raise not_found_error
    if not call.may_read(item):
        raise access_denied()
    return item


def _write(entity: Entity, verb: str, call: Call) -> Write:
    """The write that a call of add or update asks for; raises RestError."""
    for name in ("fields", "params"):
        _require_object(entity, call, name)
    argument: Any = call.argument("fields")
    fields = argument if isinstance(argument, dict) else {}
    rows = from_upper_fields(fields) if entity.has_multifields else []
    if entity in {CONTACT, COMPANY}:
        _require_email_addresses(rows)
    currency = fields.get("CURRENCY_ID")
    if entity is DEAL and currency and not re.fullmatch(r"[A-Z]{3}", str(currency)):
        raise RestError("", 'Invalid value for the "Currency" field')
    method = f"crm.{entity.table}.{verb}"
    sent: Any = {} if argument is None else argument
    return Write(entity, method, sent, fields, rows, call.application, call.user)


def _require_email_addresses(rows: list[RowChange]) -> None:
    """Raise RestError if an e-mail address is invalid (crm/contacts/crm-contact-add.md)."""
    for row in rows:
        if row.type_id == "EMAIL" and row.value and not re.fullmatch(r"\S+@\S+", row.value):
            label = (row.value_type or "WORK").capitalize()
            raise RestError("ERROR_CORE", f"The field {label} e-mail contains an invalid address")


def _require_object(entity: Entity, call: Call, name: str) -> None:
    """Raise RestError if a parameter is not an object; leads may omit the fields."""
    sent = call.argument(name)
    if sent is None and (entity is LEAD or name == "params"):
        return
    if not isinstance(sent, dict) and sent != []:  # PHP cannot tell an empty object from a list
        raise RestError("", f"Parameter '{name}' must be array.")


def _journal_lead(entity: Entity, item: Item) -> int | None:
    """The id for the journal, which notes written leads only."""
    return item.id if entity is LEAD else None


_VERBS: dict[str, Callable[[Entity, Call], MethodResult]] = {
    "add": add,
    "update": update,
    "get": get,
    "delete": delete,
    "fields": fields,
}
METHODS = {
    f"crm.{entity.table}.{verb}": partial(method, entity)
    for entity in ENTITIES
    for verb, method in _VERBS.items()
}

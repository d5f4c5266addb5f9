"""crm.item.* with entityTypeId 1: the same leads in camel case, multifields with ids as `fm`."""

from typing import Any

from emulator.errors import RestError, item_not_found
from emulator.http.params import Params
from emulator.leads.fields import BY_CAMEL, FIELDS
from emulator.leads.multifields import from_item_fm, positive_int
from emulator.leads.query import argument, connector
from emulator.leads.store import Lead
from emulator.leads.views import fm, item
from emulator.methods import write_lead
from emulator.methods.result import MethodResult
from emulator.methods.write_lead import Write
from emulator.portal import Portal


def add(portal: Portal, params: Params) -> MethodResult:
    """crm.item.add: the new lead, with the ids of its multifield rows."""
    require_lead_entity(params)
    return _view(write_lead.add(portal, _write("crm.item.add", params)))


def update(portal: Portal, params: Params) -> MethodResult:
    """crm.item.update: the updated lead; saves nothing if nothing changes."""
    lead = _existing_lead(portal, params)
    write = _write("crm.item.update", params)
    return _view(write_lead.update(portal, lead.id, write, skip_unchanged=True))


def get(portal: Portal, params: Params) -> MethodResult:
    """crm.item.get: the lead."""
    return _view(_existing_lead(portal, params))


def delete(portal: Portal, params: Params) -> MethodResult:
    """crm.item.delete: an empty list."""
    lead = _existing_lead(portal, params)
    write_lead.delete(portal, lead.id, connector(params))
    return MethodResult([], lead=lead.id)


def fields(_: Portal, params: Params) -> MethodResult:
    """crm.item.fields: the fields of a lead, in camel case."""
    require_lead_entity(params)
    described = {
        field.camel: {**field.described(), "upperName": name} for name, field in FIELDS.items()
    }
    multiple = {"type": "crm_multifield", "isMultiple": True, "upperName": "FM", "title": "fm"}
    return MethodResult({"fields": {**described, "fm": multiple}})


def require_lead_entity(params: Params) -> None:
    """Raise RestError unless entityTypeId is that of leads, the only entity here."""
    entity_type = argument(params, "entityTypeId")
    if entity_type is None:
        raise _missing("entityTypeId")
    if positive_int(entity_type) != 1:
        raise RestError("NOT_FOUND", "Smart Process not found")


def _existing_lead(portal: Portal, params: Params) -> Lead:
    require_lead_entity(params)
    sent = argument(params, "id")
    if sent is None:
        raise _missing("id")
    lead_id = positive_int(sent)
    lead = portal.store.get(lead_id) if lead_id else None
    if lead is None:
        raise item_not_found()
    return lead


def _missing(name: str) -> RestError:
    return RestError("100", f"Could not find value for parameter {{{name}}}")


def _view(lead: Lead) -> MethodResult:
    return MethodResult({"item": {**item(lead), "fm": fm(lead)}}, lead=lead.id)


def _write(method: str, params: Params) -> Write:
    sent: Any = argument(params, "fields")
    if sent is None:
        raise _missing("fields")
    known = sent if isinstance(sent, dict) else {}
    upper = {BY_CAMEL[name].name: value for name, value in known.items() if name in BY_CAMEL}
    return Write(method, sent, upper, from_item_fm(known.get("fm")), connector(params))


METHODS = {
    "crm.item.add": add,
    "crm.item.update": update,
    "crm.item.get": get,
    "crm.item.delete": delete,
    "crm.item.fields": fields,
}

"""crm.item.* with entityTypeId 1: the same leads in camel case, multifields with ids as `fm`."""

from typing import Any

from emulator.errors import RestError, item_not_found
from emulator.http.params import Params
from emulator.leads.fields import BY_CAMEL, FIELDS
from emulator.leads.multifields import from_item_fm, whole
from emulator.leads.query import argument, connector
from emulator.leads.store import Lead
from emulator.leads.views import fm, item
from emulator.methods import write_lead
from emulator.methods.result import Answer
from emulator.methods.write_lead import Write
from emulator.portal import Portal


def add(portal: Portal, params: Params) -> Answer:
    """crm.item.add: the new lead, with the ids of its multifield rows."""
    demand_leads(params)
    return _shown(write_lead.add(portal, _write("crm.item.add", params)))


def update(portal: Portal, params: Params) -> Answer:
    """crm.item.update: the lead as it is now; saves nothing when nothing changes."""
    lead = _found(portal, params)
    write = _write("crm.item.update", params)
    return _shown(write_lead.update(portal, lead.id, write, skip_unchanged=True))


def get(portal: Portal, params: Params) -> Answer:
    """crm.item.get: the lead."""
    return _shown(_found(portal, params))


def delete(portal: Portal, params: Params) -> Answer:
    """crm.item.delete: an empty list."""
    lead = _found(portal, params)
    write_lead.delete(portal, lead.id, connector(params))
    return Answer([], lead=lead.id)


def fields(_: Portal, params: Params) -> Answer:
    """crm.item.fields: what a lead consists of, in camel case."""
    demand_leads(params)
    described = {
        field.camel: {**field.described(), "upperName": name} for name, field in FIELDS.items()
    }
    multiple = {"type": "crm_multifield", "isMultiple": True, "upperName": "FM", "title": "fm"}
    return Answer({"fields": {**described, "fm": multiple}})


def demand_leads(params: Params) -> None:
    """Raise RestError unless entityTypeId says leads, the only entity of this portal."""
    entity_type = argument(params, "entityTypeId")
    if entity_type is None:
        raise _missing("entityTypeId")
    if whole(entity_type) != 1:
        raise RestError("NOT_FOUND", "Smart Process not found")


def _found(portal: Portal, params: Params) -> Lead:
    demand_leads(params)
    sent = argument(params, "id")
    if sent is None:
        raise _missing("id")
    lead_id = whole(sent)
    lead = portal.store.get(lead_id) if lead_id else None
    if lead is None:
        raise item_not_found()
    return lead


def _missing(name: str) -> RestError:
    return RestError("100", f"Could not find value for parameter {{{name}}}")


def _shown(lead: Lead) -> Answer:
    return Answer({"item": {**item(lead), "fm": fm(lead)}}, lead=lead.id)


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

"""crm.lead.*: field names in upper case, ids and amounts as texts."""

from typing import Any

from emulator.errors import invalid_id, not_found
from emulator.http.params import Params
from emulator.leads import fields as lead_fields
from emulator.leads.multifields import from_lead_fields, positive_int
from emulator.leads.query import argument, connector
from emulator.leads.views import multifields, scalars
from emulator.methods import write_lead
from emulator.methods.result import MethodResult
from emulator.methods.write_lead import Write
from emulator.portal import Portal


def add(portal: Portal, params: Params) -> MethodResult:
    """crm.lead.add: the new lead's id, a bare integer."""
    lead = write_lead.add(portal, _write("crm.lead.add", params))
    return MethodResult(lead.id, lead=lead.id)


def update(portal: Portal, params: Params) -> MethodResult:
    """crm.lead.update: true; saves even if nothing changes."""
    lead = write_lead.update(portal, _lead_id(params), _write("crm.lead.update", params))
    return MethodResult(result=True, lead=lead.id)


def get(portal: Portal, params: Params) -> MethodResult:
    """crm.lead.get: all fields and the multifields that have rows."""
    lead = portal.store.get(_lead_id(params))
    if lead is None:
        raise not_found()
    return MethodResult({**scalars(lead), **multifields(lead)})


def delete(portal: Portal, params: Params) -> MethodResult:
    """crm.lead.delete: true."""
    lead_id = _lead_id(params)
    write_lead.delete(portal, lead_id, connector(params))
    return MethodResult(result=True, lead=lead_id)


def fields(_: Portal, __: Params) -> MethodResult:
    """crm.lead.fields: the fields of a lead."""
    return MethodResult(lead_fields.described())


def _lead_id(params: Params) -> int:
    lead_id = positive_int(argument(params, "id"))
    if lead_id is None:
        raise invalid_id()
    return lead_id


def _write(method: str, params: Params) -> Write:
    sent: Any = argument(params, "fields")
    known = sent if isinstance(sent, dict) else {}
    return Write(
        method, sent if sent is not None else {}, known, from_lead_fields(known), connector(params)
    )


METHODS = {
    "crm.lead.add": add,
    "crm.lead.update": update,
    "crm.lead.get": get,
    "crm.lead.delete": delete,
    "crm.lead.fields": fields,
}

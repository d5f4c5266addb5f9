"""Lists of leads in both APIs: filter, order, pages of 50, with or without counting."""

from typing import Any

from emulator.http.params import Params
from emulator.leads.fields import BY_CAMEL, FIELDS, MULTIFIELDS
from emulator.leads.query import PAGE, parse, selected
from emulator.leads.store import Lead
from emulator.leads.views import fm, item, multifields, scalars
from emulator.methods.items import require_lead_entity
from emulator.methods.result import MethodResult
from emulator.portal import Portal

_UPPER_NAMES = {field.camel: field.name for field in BY_CAMEL.values()}


def lead_list(portal: Portal, params: Params) -> MethodResult:
    """crm.lead.list: `*` selects all but multifields; ID is always included."""
    leads, total, next_start = _page(portal, params, {})
    selection = selected(params)
    return MethodResult([_lead_row(lead, selection) for lead in leads], total, next_start)


def item_list(portal: Portal, params: Params) -> MethodResult:
    """crm.item.list: the same leads in camel case; `fm` only when selected."""
    require_lead_entity(params)
    leads, total, next_start = _page(portal, params, _UPPER_NAMES)
    selection = selected(params)
    return MethodResult(
        {"items": [_item_row(lead, selection) for lead in leads]}, total, next_start
    )


def _page(
    portal: Portal, params: Params, names: dict[str, str]
) -> tuple[list[Lead], int, int | None]:
    query = parse(params, names)
    leads = portal.store.find(query.page, query.where.values)
    if query.start is None:
        return leads, 0, None
    total = portal.store.count(query.where.sql, query.where.values)
    next_start = query.start + PAGE
    return leads, total, next_start if next_start < total else None


def _lead_row(lead: Lead, selection: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: value
        for name, value in scalars(lead).items()
        if name == "ID" or "*" in selection or name in selection
    }
    if selection & MULTIFIELDS.keys():
        rows = multifields(lead)
        row.update({name: rows[name] for name in rows if name in selection})
    return row


def _item_row(lead: Lead, selection: set[str]) -> dict[str, Any]:
    upper = {FIELDS[name].camel for name in selection if name in FIELDS}
    row = {
        name: value
        for name, value in item(lead).items()
        if name == "id" or "*" in selection or name in selection or name in upper
    }
    if "fm" in selection:
        row["fm"] = fm(lead)
    return row


METHODS = {"crm.lead.list": lead_list, "crm.item.list": item_list}

"""Lists of leads in both APIs: filter, order, pages of 50, with or without counting."""

from typing import Any

from emulator.http.params import Params
from emulator.leads.fields import BY_CAMEL, FIELDS, MULTIFIELDS
from emulator.leads.query import PAGE, parse, selected
from emulator.leads.store import Lead
from emulator.leads.views import fm, item, multifields, scalars
from emulator.methods.items import demand_leads
from emulator.methods.result import Answer
from emulator.portal import Portal

_UPPER_NAMES = {field.camel: field.name for field in BY_CAMEL.values()}


def lead_list(portal: Portal, params: Params) -> Answer:
    """crm.lead.list: `*` selects all but multifields; ID is always there."""
    leads, total, following = _page(portal, params, {})
    chosen = selected(params)
    return Answer([_lead_row(lead, chosen) for lead in leads], total, following)


def item_list(portal: Portal, params: Params) -> Answer:
    """crm.item.list: the same leads in camel case; `fm` only when selected."""
    demand_leads(params)
    leads, total, following = _page(portal, params, _UPPER_NAMES)
    chosen = selected(params)
    return Answer({"items": [_item_row(lead, chosen) for lead in leads]}, total, following)


def _page(
    portal: Portal, params: Params, names: dict[str, str]
) -> tuple[list[Lead], int, int | None]:
    query = parse(params, names)
    leads = portal.store.find(query.page, query.where.values)
    if query.start is None:
        return leads, 0, None
    total = portal.store.count(query.where.sql, query.where.values)
    following = query.start + PAGE
    return leads, total, following if following < total else None


def _lead_row(lead: Lead, chosen: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: value
        for name, value in scalars(lead).items()
        if name == "ID" or "*" in chosen or name in chosen
    }
    if chosen & MULTIFIELDS.keys():
        rows = multifields(lead)
        row.update({name: rows[name] for name in rows if name in chosen})
    return row


def _item_row(lead: Lead, chosen: set[str]) -> dict[str, Any]:
    upper = {FIELDS[name].camel for name in chosen if name in FIELDS}
    row = {
        name: value
        for name, value in item(lead).items()
        if name == "id" or "*" in chosen or name in chosen or name in upper
    }
    if "fm" in chosen:
        row["fm"] = fm(lead)
    return row


METHODS = {"crm.lead.list": lead_list, "crm.item.list": item_list}

"""Simple CRM mode: a new lead with a name becomes a contact and a deal, at once or later.

Documentation: tutorials/crm/how-to-add-crm-objects/how-to-add-objects-with-crm-mode.md. In classic
mode nothing is created, whatever stage a lead enters (crm/leads/index.md). `add` and `update` of
writes/save.py, which calls this module, are passed as arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emulator.entities.entity import CONTACT, DEAL, LEAD, Entity
from emulator.entities.multifields import RowChange
from emulator.entities.store import Item
from emulator.errors import RestError
from emulator.portal import Portal
from emulator.writes.write import Write

CONVERTED = "CONVERTED"
_TO_CONTACT = (
    *("HONORIFIC", "NAME", "SECOND_NAME", "LAST_NAME", "BIRTHDATE", "POST", "COMMENTS"),
    *("SOURCE_ID", "SOURCE_DESCRIPTION", "ASSIGNED_BY_ID", "OPENED"),
)
_TO_DEAL = (
    *("TITLE", "CURRENCY_ID", "OPPORTUNITY", "IS_MANUAL_OPPORTUNITY", "COMPANY_ID", "OPENED"),
    *("SOURCE_ID", "SOURCE_DESCRIPTION", "COMMENTS", "ASSIGNED_BY_ID"),
    *("UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN", "UTM_CONTENT", "UTM_TERM"),
)


def applies(portal: Portal, entity: Entity, data: Mapping[str, Any]) -> bool:
    """Whether the portal converts a new object: a lead with a name, in simple mode."""
    return entity is LEAD and portal.settings.crm_mode == "simple" and bool(data.get("NAME"))


async def convert_later(
    portal: Portal,
    lead_id: int,
    write: Write,
    add: Callable[[Portal, Write], Item],
    update: Callable[[Portal, Item, Write], Item],
) -> None:
    """Convert a lead in the state that it has `conversion_delay_ms` after its creation."""
    await portal.clock.sleep(portal.settings.conversion_delay_ms / 1000)
    lead = portal.store.get(LEAD, lead_id)
    if lead is None or lead.data.get(LEAD.stage_field) == CONVERTED:
        return
    fields = {LEAD.stage_field: CONVERTED}
    try:
        moved = update(
            portal, lead, Write(LEAD, "conversion", sent=fields, fields=fields, user=write.user)
        )
    except RestError:
        return  # a mandatory field is missing: the lead stays a lead
    convert(portal, moved, write, add)


def convert(portal: Portal, lead: Item, write: Write, add: Callable[[Portal, Write], Item]) -> None:
    """Create the contact and deal of a lead; delete the lead if `simple_mode_leads` is `gone`."""
    contact_id = lead.data.get("CONTACT_ID")
    if not contact_id:
        rows = [RowChange(row.type_id, row.value, row.value_type) for row in lead.rows]
        contact = add(portal, _write(CONTACT, _copied_fields(lead, _TO_CONTACT), lead, write, rows))
        contact_id = str(contact.id)
    fields = {**_copied_fields(lead, _TO_DEAL), "CONTACT_ID": contact_id}
    add(portal, _write(DEAL, fields, lead, write))
    if portal.settings.simple_mode_leads == "gone":
        portal.store.delete(LEAD, lead.id)


def _copied_fields(lead: Item, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: lead.data[name] for name in names if lead.data.get(name)}


def _write(
    entity: Entity,
    fields: dict[str, Any],
    lead: Item,
    write: Write,
    rows: Sequence[RowChange] = (),
) -> Write:
    """The write of an object that a lead becomes, with a link to the lead."""
    link = {"LEAD_ID": str(lead.id)}
    return Write(
        entity,
        "conversion",
        sent={**fields, **link},
        fields=fields,
        rows=rows,
        application=write.application,
        user=write.user,
        system=link,
    )

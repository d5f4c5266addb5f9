"""Writes to leads, for both APIs and the board.

Each write is one transaction with its history entry; its events are sent after the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.clock import iso
from emulator.errors import RestError, not_found
from emulator.leads import stages, values
from emulator.leads.fields import FIELDS
from emulator.leads.multifields import RowChange
from emulator.leads.store import Lead
from emulator.leads.views import card, fm, scalars
from emulator.portal import Portal


@dataclass(frozen=True)
class Write:
    """A write: its method, what the client sent, and the resulting fields and rows.

    `connector` names the application whose offline queue does not get the event.
    """

    method: str
    sent: Any
    fields: Mapping[str, Any]
    rows: Sequence[RowChange] = ()
    connector: str = ""

    def error(self, code: str, description: str) -> RestError:
        """An error: crm.item.* has a code, crm.lead.* an empty one."""
        return RestError(code if self.method.startswith("crm.item") else "", description)


def add(portal: Portal, write: Write) -> Lead:
    """Create a lead, with the portal's defaults for missing fields."""
    data = _values(portal, write)
    _require_mandatory_fields(portal, write)
    now = iso(portal.clock.wall())
    data["STATUS_ID"] = data.get("STATUS_ID") or stages.FIRST
    if portal.settings.crm_mode == "simple" and data.get("NAME"):
        data["STATUS_ID"] = "CONVERTED"
    for name in ("DATE_CREATE", "DATE_MODIFY", "LAST_ACTIVITY_TIME"):
        data[name] = now
    _enter_stage(data, now)
    with portal.store.transaction():
        lead_id = portal.store.insert(data)
        if not data.get("TITLE"):
            data["TITLE"] = f"Lead #{lead_id}"
            portal.store.save(lead_id, data)
        portal.store.change_rows(lead_id, write.rows)
        _record(portal, lead_id, write)
        lead = _stored(portal, lead_id)
        if _vanishes(portal, data):
            portal.store.delete(lead_id)
    _notify(portal, "ONCRMLEADADD", lead, write.connector)
    return lead


def update(portal: Portal, lead_id: int, write: Write, *, skip_unchanged: bool = False) -> Lead:
    """Update a lead and return it; `skip_unchanged` saves nothing if nothing changes."""
    before = portal.store.get(lead_id)
    if before is None:
        raise not_found()
    data = {**before.data, **_values(portal, write)}
    data["STATUS_ID"] = data.get("STATUS_ID") or before.data["STATUS_ID"]
    data["TITLE"] = data.get("TITLE") or before.data["TITLE"]
    now = iso(portal.clock.wall())
    with portal.store.transaction():
        portal.store.change_rows(lead_id, write.rows)
        lead = Lead(lead_id, data, _stored(portal, lead_id).rows)
        if skip_unchanged and _same(before, lead):
            return before
        data["DATE_MODIFY"] = now
        if data["STATUS_ID"] != before.data["STATUS_ID"]:
            _enter_stage(data, now)
        portal.store.save(lead_id, data)
        _record(portal, lead_id, write)
    _notify(portal, "ONCRMLEADUPDATE", lead, write.connector)
    return lead


def delete(portal: Portal, lead_id: int, connector: str = "") -> None:
    """Delete a lead; raises RestError if it does not exist."""
    lead = portal.store.get(lead_id)
    if lead is None:
        raise not_found()
    with portal.store.transaction():
        portal.store.delete(lead_id)
    _notify(portal, "ONCRMLEADDELETE", lead, connector)


def _values(portal: Portal, write: Write) -> dict[str, str | None]:
    try:
        data = values.writable(write.fields, portal.settings)
    except values.Overlong as error:
        raise write.error("CRM_FIELD_ERROR_VALUE_NOT_VALID", str(error)) from None
    status = data.get("STATUS_ID")
    if status and status not in stages.KNOWN and portal.settings.unknown_status == "reject":
        raise write.error("CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Invalid value of field "Stage"')
    return data


def _require_mandatory_fields(portal: Portal, write: Write) -> None:
    sent_types = {row.type_id for row in write.rows if row.value}
    for name in portal.settings.mandatory_fields:
        if not write.fields.get(name) and name not in sent_types:
            title = FIELDS[name].title if name in FIELDS else name
            raise write.error(
                "CRM_FIELD_ERROR_REQUIRED", f"The required field '{title}' is missing"
            )


def _enter_stage(data: dict[str, str | None], now: str) -> None:
    meaning = stages.semantics(data["STATUS_ID"] or "")
    data["STATUS_SEMANTIC_ID"] = meaning
    data["MOVED_TIME"] = now
    data["DATE_CLOSED"] = "" if meaning == "P" else now


def _vanishes(portal: Portal, data: Mapping[str, str | None]) -> bool:
    simple = portal.settings.crm_mode == "simple" and bool(data.get("NAME"))
    return simple and portal.settings.simple_mode_leads == "gone"


def _same(before: Lead, after: Lead) -> bool:
    return scalars(before) == scalars(after) and fm(before) == fm(after)


def _stored(portal: Portal, lead_id: int) -> Lead:
    lead = portal.store.get(lead_id)
    if lead is None:
        raise not_found()
    return lead


def _record(portal: Portal, lead_id: int, write: Write) -> None:
    portal.store.record(lead_id, portal.clock.wall(), write.method, write.sent)


def _notify(portal: Portal, event: str, lead: Lead, connector: str) -> None:
    portal.offline.add(event, lead.id, connector, portal.clock.wall())
    portal.events.send(event, lead.id, portal.settings)
    if portal.stream.has_subscribers:
        portal.stream.send(event, card(lead))

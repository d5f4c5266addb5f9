"""A user as a lead: the commands that write it, and those that look it up.

Writes use `crm.item.*` (entityTypeId 1), the current API: its answers hold the ids of the phone
rows, so that a phone can be replaced instead of added. Lookups use `crm.lead.list`, which can
select phones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from leadline.bitrix24.command import Command

LEAD = 1
ADD, UPDATE, DELETE = "crm.item.add", "crm.item.update", "crm.item.delete"
LIST = "crm.lead.list"
#: The methods of all calls for users.
METHODS = (ADD, UPDATE, DELETE, LIST)
#: Lengths of the columns; Bitrix24 may truncate or reject longer texts.
TITLE_MAX = 255
NAME_MAX = 50
#: Rows on a page of crm.lead.list.
PAGE = 50
#: Users in a lookup: fewer than a page, so that duplicate leads still fit on it.
LOOKUP_MAX = 25


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What a user's lead should hold."""

    full_name: str
    phone: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class LastApplied:
    """The state of a lead that both sides last agreed on, as the portal has it."""

    lead_id: int
    #: None: unknown.
    full_name: str | None = None
    #: None: it has no phone.
    phone: str | None = None
    #: The id of the phone's row; None although there is a phone: look it up before a change.
    phone_row: int | None = None


def create(user_id: int, state: DesiredState, originator: str) -> Command:
    """Create the lead with the user's origin, by which it is recognised from then on."""
    fields = {
        **_name(state.full_name),
        **origin(user_id, originator),
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": state.phone}],
    }
    if state.stage:
        fields["stageId"] = state.stage
    return Command(ADD, {"entityTypeId": LEAD, "fields": fields})


def origin(user_id: int, originator: str) -> dict[str, str]:
    """The fields that mark a lead as this user's."""
    return {"originatorId": originator, "originId": str(user_id)}


def update(
    last_applied: LastApplied,
    state: DesiredState,
    *,
    with_stage: bool,
    origin: dict[str, str] | None = None,
) -> Command | None:
    """Write what differs from last applied; None if nothing does.

    `origin`: the origin fields, for a lead that lacks them.
    """
    fields: dict[str, Any] = dict(origin or {})
    if state.full_name != last_applied.full_name:
        fields |= _name(state.full_name)
    if state.phone != last_applied.phone:
        row = str(last_applied.phone_row) if last_applied.phone_row else "n0"  # n0 adds a row
        fields["fm"] = {row: {"typeId": "PHONE", "valueType": "WORK", "value": state.phone}}
    if with_stage and state.stage:
        fields["stageId"] = state.stage
    if not fields:
        return None
    return Command(UPDATE, {"entityTypeId": LEAD, "id": last_applied.lead_id, "fields": fields})


def blank(lead_id: int, name: str, phone_rows: Iterable[int]) -> Command:
    """Replace the person's name with this one, and delete these phone rows."""
    fields: dict[str, Any] = _name(name)
    # An empty value deletes the row.
    rows = {str(row): {"typeId": "PHONE", "valueType": "WORK", "value": ""} for row in phone_rows}
    if rows:
        fields["fm"] = rows
    return Command(UPDATE, {"entityTypeId": LEAD, "id": lead_id, "fields": fields})


def delete(lead_id: int) -> Command:
    """Delete the lead; the portal may keep it in its recycle bin."""
    return Command(DELETE, {"entityTypeId": LEAD, "id": lead_id})


def needs_phone_row(last_applied: LastApplied, state: DesiredState) -> bool:
    """Whether the phone's row must be looked up: without its id, the new phone would be added."""
    return (
        state.phone != last_applied.phone
        and last_applied.phone is not None
        and last_applied.phone_row is None
    )


def list_by_origins(origins: list[int], originator: str) -> Command:
    """List the leads of these users, by their origin."""
    return _list(
        {"=ORIGINATOR_ID": originator, "@ORIGIN_ID": [str(user_id) for user_id in origins]}
    )


def list_by_ids(lead_ids: list[int]) -> Command:
    """List the leads with these ids."""
    return _list({"@ID": lead_ids})


def list_after(after: str, originator: str) -> Command:
    """List the next page of leads with this originator, by id; `after` may refer to a result."""
    return _list({"=ORIGINATOR_ID": originator, ">ID": after})


def list_stages() -> Command:
    """List the stages of this portal's leads, in their order."""
    return Command("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}, "order": {"SORT": "ASC"}})


def _list(where: dict[str, Any]) -> Command:
    columns = ["ID", "TITLE", "NAME", "STATUS_ID", "ORIGINATOR_ID", "ORIGIN_ID", "PHONE"]
    return Command(
        LIST,
        # with start -1 the portal doesn't count all rows, which is slow
        {"filter": where, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )


def _name(full_name: str) -> dict[str, Any]:
    return {"title": full_name[:TITLE_MAX], "name": full_name[:NAME_MAX]}

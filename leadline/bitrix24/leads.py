"""A user as a lead: the commands that write it, and those that look it up.

Writes use `crm.item.*` (entityTypeId 1), the current API: its answers hold the ids of the phone
rows, so that a phone can be replaced instead of added. Lookups use `crm.lead.list`, which can
select phones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_fields import further_fields, neutral
from leadline.bitrix24.lead_fields.applied_fields import NO_FIELDS_APPLIED, AppliedFields
from leadline.mapping.current import field_map

if TYPE_CHECKING:
    from leadline.mapping.field_map import FieldMap

#: The `entityTypeId` of leads.
LEAD = 1
ADD, UPDATE, DELETE = "crm.item.add", "crm.item.update", "crm.item.delete"
LIST = "crm.lead.list"
#: The methods of calls for users, apart from quiet imports and searches for duplicates.
METHODS = (ADD, UPDATE, DELETE, LIST)
#: Maximum characters of TITLE and NAME; Bitrix24 may truncate or reject longer texts.
TITLE_MAX = 255
NAME_MAX = 50
#: Rows on a page of crm.lead.list.
PAGE = 50
#: No further fields, no rows of multi-fields.
_NO_FURTHER_FIELDS: tuple[dict[str, Any], list[dict[str, str]]] = ({}, [])
#: Users in a lookup: fewer than a page, so that duplicate leads still fit on it.
LOOKUP_MAX = 25


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What a user's lead should hold."""

    full_name: str
    phone: str
    #: None: the message had no stage, so none is written.
    stage: str | None
    #: Values of further fields by name; None: cleared. Absent: the lead's own value stays.
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: Columns and multi-fields of the map that the portal refused for this user.
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LastApplied:
    """The state of a lead that both sides last agreed on, as the portal has it."""

    lead_id: int
    #: None: unknown, or the lead's title and name differ.
    full_name: str | None = None
    #: None: it has no phone.
    phone: str | None = None
    #: The id of the phone's row; None although there is a phone: look it up before a change.
    phone_row: int | None = None
    further: AppliedFields = NO_FIELDS_APPLIED


def create(
    user_id: int, state: DesiredState, originator: str, contact_id: int | None = None
) -> Command:
    """Create the lead with the user's origin, by which it is recognised from then on.

    `contact_id`: the contact that it is attached to.
    """
    mapping = field_map()
    further, rows = further_fields.of_new_lead(state) if mapping else _NO_FURTHER_FIELDS
    fields = {
        **further,
        **_name(state.full_name, mapping),
        **origin(user_id, originator),
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": state.phone}, *rows],
    }
    if state.stage:
        fields["stageId"] = state.stage
    if contact_id is not None:
        fields["contactId"] = contact_id
    return _command(ADD, {"entityTypeId": LEAD, "fields": fields}, mapping)


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
    """The command that writes what differs from last applied; None if nothing does.

    `origin`: the origin fields, for a lead that lacks them.
    """
    mapping = field_map()
    fields: dict[str, Any] = dict(origin or {})
    rows: dict[str, dict[str, str]] = {}
    if mapping:
        further, rows = further_fields.to_update(last_applied.further, state)
        fields |= further
    if state.full_name != last_applied.full_name:
        fields |= _name(state.full_name, mapping)
    if state.phone != last_applied.phone:
        row = str(last_applied.phone_row) if last_applied.phone_row else "n0"  # n0 adds a row
        rows[row] = {"typeId": "PHONE", "valueType": "WORK", "value": state.phone}
    if rows:
        fields["fm"] = rows
    if with_stage and state.stage:
        fields["stageId"] = state.stage
    if not fields:
        return None
    params = {"entityTypeId": LEAD, "id": last_applied.lead_id, "fields": fields}
    return _command(UPDATE, params, mapping)


def _command(method: str, params: dict[str, Any], mapping: "FieldMap | None") -> Command:
    """A write whose answer names user fields (`UF_…`) as the map does."""
    if mapping and mapping.has_user_fields:
        params["useOriginalUfNames"] = "Y"
    return Command(method, params)


def blank(
    lead_id: int,
    name: str,
    phone_rows: Iterable[int],
    other_rows: Iterable[tuple[str, int]] = (),
    *,
    is_neutral: bool = False,
) -> Command:
    """Replace the person's name with this one, and delete these phones and multi-field rows.

    The further fields of the map are cleared. `is_neutral`: fields get a neutral value instead of
    none, for a portal that does not let them be emptied.
    """
    mapping = field_map()
    cleared = further_fields.blank_columns(lead_id, is_neutral=is_neutral)
    fields: dict[str, Any] = {**cleared, **_name(name, mapping)}
    rows = [("PHONE", row) for row in phone_rows]
    rows += other_rows
    if rows and is_neutral:
        fields["fm"] = neutral.rows(lead_id, rows)
    elif rows:
        # An empty value deletes the row.
        fields["fm"] = {
            str(row): {"typeId": kind, "valueType": "WORK", "value": ""} for kind, row in rows
        }
    return _command(UPDATE, {"entityTypeId": LEAD, "id": lead_id, "fields": fields}, mapping)


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


def list_by_origins(user_ids: list[int], originator: str) -> Command:
    """List the leads of these users, by their origin."""
    return _list(
        {"=ORIGINATOR_ID": originator, "@ORIGIN_ID": [str(user_id) for user_id in user_ids]}
    )


def list_by_ids(lead_ids: list[int]) -> Command:
    """List the leads with these ids."""
    return _list({"@ID": lead_ids})


def list_after(after: str, originator: str) -> Command:
    """List the leads of this originator with ids greater than `after`, a page of them.

    `after` may refer to an earlier command of the batch: `$result[…]`.
    """
    return _list({"=ORIGINATOR_ID": originator, ">ID": after})


def list_all_after(after: str) -> Command:
    """List all leads with ids greater than `after`, a page of them; `after` as in `list_after`."""
    return _list({">ID": after})


def list_stages() -> Command:
    """List the stages of this portal's leads, in their order."""
    return Command("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}, "order": {"SORT": "ASC"}})


#: Describes all fields of leads, by their names in crm.lead.*; `mapping.portal_fields` parses it.
FIELDS = Command("crm.lead.fields", {})
#: What the webhook may call.
SCOPE = Command("scope", {})


def list_values(status_type: str) -> Command:
    """List the values that a list field such as SOURCE may have."""
    return Command("crm.status.list", {"filter": {"ENTITY_ID": status_type}})


def find_people(ids: list[str]) -> Command:
    """Find these people of the portal, also those who have left."""
    return Command("user.get", {"FILTER": {"ID": ids}})


def _list(conditions: dict[str, Any]) -> Command:
    core_columns = ["ID", "TITLE", "NAME", "STATUS_ID", "STATUS_SEMANTIC_ID"]
    core_columns += ["ORIGINATOR_ID", "ORIGIN_ID", "PHONE"]
    columns = list(dict.fromkeys((*core_columns, *further_fields.columns())))
    return Command(
        LIST,
        # with start -1 the portal doesn't count all rows, which is slow
        {"filter": conditions, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )


def _name(full_name: str, mapping: "FieldMap | None") -> dict[str, Any]:
    title = full_name[:TITLE_MAX]
    if mapping is None or mapping.name_is_full_name:
        return {"title": title, "name": full_name[:NAME_MAX]}
    return {"title": title}


def name_is_full_name() -> bool:
    """Whether NAME holds the full name: the map stores no other field there."""
    mapping = field_map()
    return mapping is None or mapping.name_is_full_name

"""What a user is as a lead: the commands that write it, and those that look it up.

Written through `crm.item.*` (entityTypeId 1), the current API: its answers hold the ids of the
phone rows, so that a phone can be replaced instead of added. Looked up through `crm.lead.list`,
which can select phones.
"""

from dataclasses import asdict, dataclass
from typing import Any

from leadline.bitrix24.command import Command

LEAD = 1
ADD, UPDATE, LIST = "crm.item.add", "crm.item.update", "crm.lead.list"
#: What the calls for users consist of.
METHODS = (ADD, UPDATE, LIST)
#: Lengths of the columns; what is longer Bitrix24 may cut or refuse.
TITLE_MAX = 255
NAME_MAX = 50
#: A page of crm.lead.list.
PAGE = 50
#: Fewer than a page, so that doubled leads still fit on it.
LOOKUP_MAX = 25


@dataclass(frozen=True, slots=True)
class DesiredState:
    """How a lead shall look."""

    full_name: str
    phone: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class LastApplied:
    """A lead as it was last applied, in the portal's words; None where that isn't known."""

    lead_id: int
    full_name: str | None = None
    #: None: it has no phone.
    phone: str | None = None
    #: The id of the phone's row; None though there is a phone: to be looked up before a change.
    phone_row: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For storage as JSON."""
        return asdict(self)


def create(user_id: int, state: DesiredState, originator: str) -> Command:
    """Make the lead, recognisable for ever by its origin."""
    fields = {
        **_name(state.full_name),
        **origin(user_id, originator),
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": state.phone}],
    }
    if state.stage:
        fields["stageId"] = state.stage
    return Command(ADD, {"entityTypeId": LEAD, "fields": fields})


def origin(user_id: int, originator: str) -> dict[str, str]:
    """The fields by which a lead is recognised as this user's."""
    return {"originatorId": originator, "originId": str(user_id)}


def update(
    agreed: LastApplied,
    state: DesiredState,
    *,
    with_stage: bool,
    origin: dict[str, str] | None = None,
) -> Command | None:
    """Change what differs from what both sides last knew; None where nothing does.

    `origin`: the origin that the lead still lacks.
    """
    fields: dict[str, Any] = dict(origin or {})
    if state.full_name != agreed.full_name:
        fields |= _name(state.full_name)
    if state.phone != agreed.phone:
        row = str(agreed.phone_row) if agreed.phone_row else "n0"  # n0 adds a row
        fields["fm"] = {row: {"typeId": "PHONE", "valueType": "WORK", "value": state.phone}}
    if with_stage and state.stage:
        fields["stageId"] = state.stage
    if not fields:
        return None
    return Command(UPDATE, {"entityTypeId": LEAD, "id": agreed.lead_id, "fields": fields})


def needs_phone_row(agreed: LastApplied, state: DesiredState) -> bool:
    """Whether the phone's row must be looked up: without its id a phone is added, not replaced."""
    return state.phone != agreed.phone and agreed.phone is not None and agreed.phone_row is None


def list_by_origins(origins: list[int], originator: str) -> Command:
    """Find the leads of these users by their origin."""
    return _list({"=ORIGINATOR_ID": originator, "@ORIGIN_ID": [str(one) for one in origins]})


def list_by_ids(lead_ids: list[int]) -> Command:
    """Read these leads."""
    return _list({"@ID": lead_ids})


def list_after(after: str, originator: str) -> Command:
    """The next page of the leads that bear our name, by id."""
    return _list({"=ORIGINATOR_ID": originator, ">ID": after})


def list_stages() -> Command:
    """Read the stages that leads of this portal can have, in their order."""
    return Command("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}, "order": {"SORT": "ASC"}})


def _list(where: dict[str, Any]) -> Command:
    columns = ["ID", "TITLE", "NAME", "STATUS_ID", "ORIGINATOR_ID", "ORIGIN_ID", "PHONE"]
    return Command(
        LIST,
        # start -1 spares the portal the counting
        {"filter": where, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )


def _name(full_name: str) -> dict[str, Any]:
    return {"title": full_name[:TITLE_MAX], "name": full_name[:NAME_MAX]}

"""What a user is as a lead: commands out, answers in.

Written through `crm.item.*` (entityTypeId 1), the current API: its answers hold the ids of the
phone rows, so that a phone can be replaced instead of added. Looked up through `crm.lead.list`,
which can select phones.
"""

from dataclasses import asdict, dataclass
from typing import Any

from leadline.bitrix24.command import Command
from leadline.runtime.errors import OutcomeUnknown

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
LOOK_UP_MAX = 25


@dataclass(frozen=True, slots=True)
class State:
    """How a lead shall look."""

    full_name: str
    phone: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """A lead as both sides last knew it; None where that isn't known."""

    lead_id: int
    full_name: str | None = None
    phone: str | None = None
    phone_row: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For storage as JSON."""
        return asdict(self)


def create(user_id: int, state: State, originator: str) -> Command:
    """Make the lead, recognisable for ever by its origin."""
    fields = {
        **_name(state.full_name),
        "originatorId": originator,
        "originId": str(user_id),
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": state.phone}],
    }
    if state.stage:
        fields["stageId"] = state.stage
    return Command(ADD, {"entityTypeId": LEAD, "fields": fields})


def update(agreed: Agreed, state: State, *, with_stage: bool) -> Command | None:
    """Change what differs from what both sides last knew; None where nothing does."""
    fields: dict[str, Any] = {}
    if state.full_name != agreed.full_name:
        fields |= _name(state.full_name)
    if state.phone != agreed.phone:
        # Without its row's id a phone is added, not replaced.
        row = str(agreed.phone_row) if agreed.phone_row else "n0"
        fields["fm"] = {row: {"typeId": "PHONE", "valueType": "WORK", "value": state.phone}}
    if with_stage and state.stage:
        fields["stageId"] = state.stage
    if not fields:
        return None
    return Command(UPDATE, {"entityTypeId": LEAD, "id": agreed.lead_id, "fields": fields})


def written(answer: Any, state: State) -> Agreed:
    """What both sides agree on after a create or an update.

    Raises:
        OutcomeUnknown: the answer is not a lead.
    """
    item = answer.get("item") if isinstance(answer, dict) else None
    lead_id = _positive(item.get("id")) if isinstance(item, dict) else None
    if lead_id is None:
        raise OutcomeUnknown("the answer names no lead")
    rows = item.get("fm") if isinstance(item, dict) else None
    row = next(
        (
            _positive(row.get("id"))
            for row in rows or []
            if isinstance(row, dict)
            and row.get("typeId") == "PHONE"
            and row.get("value") == state.phone
        ),
        None,
    )
    return Agreed(lead_id, state.full_name, state.phone, row)


def look_up(origins: list[int], originator: str) -> Command:
    """Find the leads of these users by their origin."""
    return _list({"=ORIGINATOR_ID": originator, "@ORIGIN_ID": [str(one) for one in origins]})


def read(lead_ids: list[int]) -> Command:
    """Read these leads."""
    return _list({"@ID": lead_ids})


def walk(after: str, originator: str) -> Command:
    """The next page of the leads that bear our name, by id."""
    return _list({"=ORIGINATOR_ID": originator, ">ID": after})


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a look-up."""

    lead_id: int
    full_name: str | None
    #: Phone numbers with the ids of their rows.
    phones: tuple[tuple[str, int | None], ...]
    stage: str
    origin: str
    originator: str

    def agreed(self, phone: str) -> Agreed:
        """The lead as it is; of several phones the one that is ours, else the first."""
        ours = [row for row in self.phones if row[0] == phone] or self.phones
        number, row_id = ours[0] if ours else (None, None)
        return Agreed(self.lead_id, self.full_name, number, row_id)


def found(answer: Any) -> list[Found]:
    """The leads of a look-up, oldest first.

    Raises:
        OutcomeUnknown: the answer is not a list of leads.
    """
    if not isinstance(answer, list):
        raise OutcomeUnknown("the answer is no list of leads")
    leads = [_found(row) for row in answer if isinstance(row, dict)]
    return sorted(leads, key=lambda lead: lead.lead_id)


def _found(row: dict[str, Any]) -> Found:
    lead_id = _positive(row.get("ID"))
    if lead_id is None:
        raise OutcomeUnknown("a lead without an ID")
    title, name = str(row.get("TITLE") or ""), str(row.get("NAME") or "")
    return Found(
        lead_id,
        title if title and name == title[:NAME_MAX] else None,
        tuple(
            (str(phone.get("VALUE")), _positive(phone.get("ID")))
            for phone in row.get("PHONE") or []
            if isinstance(phone, dict)
        ),
        str(row.get("STATUS_ID") or ""),
        str(row.get("ORIGIN_ID") or ""),
        str(row.get("ORIGINATOR_ID") or ""),
    )


def stages() -> Command:
    """Read the stages that leads of this portal can have, in their order."""
    return Command("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}, "order": {"SORT": "ASC"}})


def stage_ids(answer: Any) -> list[str]:
    """The ids of `stages`.

    Raises:
        OutcomeUnknown: the answer is not a list of stages.
    """
    rows = [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []
    found = [str(row["STATUS_ID"]) for row in rows if row.get("STATUS_ID")]
    if not found:
        raise OutcomeUnknown("the answer is no list of stages")
    return found


def _list(where: dict[str, Any]) -> Command:
    columns = ["ID", "TITLE", "NAME", "STATUS_ID", "ORIGINATOR_ID", "ORIGIN_ID", "PHONE"]
    return Command(
        LIST,
        # start -1 spares the portal the counting
        {"filter": where, "select": columns, "order": {"ID": "ASC"}, "start": -1},
    )


def _name(full_name: str) -> dict[str, Any]:
    return {"title": full_name[:TITLE_MAX], "name": full_name[:NAME_MAX]}


def _positive(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None

"""Communications: whom an activity addresses.

Documentation: crm/timeline/activities/activity-base/.
"""

from collections.abc import Mapping
from typing import Any

from emulator.entities.multifields import positive_int
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call
from emulator.methods.descriptions import Column

#: Types of activities; PROVIDER: a type that an application provides.
MEETING, CALL, TASK, EMAIL, PROVIDER = 1, 2, 3, 4, 6
#: Communications of one activity; their ids begin at a multiple of this number, so all are unique.
_ROWS_MAX = 50
COMMUNICATION: dict[str, Column] = {
    "ID": ("integer", "o", "ID"),
    "ACTIVITY_ID": ("integer", "o", "Activity"),
    "ENTITY_ID": ("integer", "", "Object"),
    "ENTITY_TYPE_ID": ("integer", "", "Type of the object"),
    "TYPE": ("string", "", "Kind"),
    "VALUE": ("string", "", "Value"),
}


def sent_rows(sent: Any) -> list[dict[str, Any]]:
    """The objects of a list that a client sent."""
    rows = list(sent.values()) if isinstance(sent, dict) else sent
    return [row for row in (rows if isinstance(rows, list) else []) if isinstance(row, dict)]


def stored_communications(sent: Mapping[str, Any], kind: int) -> list[dict[str, Any]]:
    """The communications of a new activity of this type, as stored; raises RestError."""
    rows = sent_rows(sent.get("COMMUNICATIONS"))
    if kind in {CALL, EMAIL} and not rows:
        raise RestError("", "The field COMMUNICATIONS is not defined or invalid.")
    if kind == CALL and len(rows) > 1:
        text = "The only one communication is allowed for activity of specified type."
        raise RestError("", text)
    columns = ("TYPE", "VALUE", "ENTITY_ID", "ENTITY_TYPE_ID")
    default = {CALL: "PHONE", EMAIL: "EMAIL"}.get(kind, "")
    return [
        {name: str(row.get(name) or (default if name == "TYPE" else ""))[:255] for name in columns}
        for row in rows[:_ROWS_MAX]
    ]


def communication_rows(call: Call, number: int, record: Record) -> list[dict[str, Any]]:
    """The communications of an activity, as crm.activity.list returns them."""
    rows = record.get("COMMUNICATIONS", [])
    return [
        {"ID": str(_ROWS_MAX * number + index), **row, "ENTITY_SETTINGS": _names_of(call, row)}
        for index, row in enumerate(rows)
    ]


def _names_of(call: Call, row: Mapping[str, str]) -> dict[str, Any]:
    """The names of the object that is addressed."""
    entity = call.portal.types.get(positive_int(row["ENTITY_TYPE_ID"]))
    item = call.item(entity, positive_int(row["ENTITY_ID"])) if entity else None
    data = item.data if item and call.may_read(item) else {}
    names = ("HONORIFIC", "NAME", "SECOND_NAME", "LAST_NAME", "COMPANY_TITLE", "COMPANY_ID")
    return {name: data.get(name) or "" for name in names}

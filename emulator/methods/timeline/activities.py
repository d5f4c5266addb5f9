"""crm.activity.*: calls, meetings, letters and to-dos of CRM objects.

Documentation: crm/timeline/activities/activity-base/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row, selected_names
from emulator.entities.records import Record
from emulator.errors import RestError, access_denied
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.families.family import Family, texts
from emulator.methods.in_memory_lists import page, select_as_lead_list
from emulator.methods.record_events import send_record_event
from emulator.methods.timeline.communications import (
    CALL,
    COMMUNICATION,
    EMAIL,
    MEETING,
    PROVIDER,
    TASK,
    communication_rows,
    sent_rows,
    stored_communications,
)
from emulator.methods.timeline.files import FILES_MAX, stored_files

_PROVIDERS = {
    MEETING: ("CRM_MEETING", "MEETING"),
    CALL: ("CRM_CALL", "CALL"),
    TASK: ("CRM_TASK", "TASK"),
    EMAIL: ("CRM_EMAIL", "EMAIL"),
}
_COLUMNS: dict[str, Column] = {
    "ID": ("integer", "o", "ID"),
    "OWNER_ID": ("integer", "i", "Object"),
    "OWNER_TYPE_ID": ("crm_enum_ownertype", "i", "Type of the object"),
    "TYPE_ID": ("crm_enum_activitytype", "ri", "Type"),
    "PROVIDER_ID": ("string", "", "Provider"),
    "PROVIDER_TYPE_ID": ("string", "", "Type within the provider"),
    "PROVIDER_GROUP_ID": ("string", "", "Connector"),
    "ASSOCIATED_ENTITY_ID": ("integer", "o", "Object of another module"),
    "SUBJECT": ("string", "r", "Subject"),
    "CREATED": ("datetime", "o", "Created"),
    "LAST_UPDATED": ("datetime", "o", "Modified"),
    "START_TIME": ("datetime", "", "Begins"),
    "END_TIME": ("datetime", "", "Ends"),
    "DEADLINE": ("datetime", "", "Deadline"),
    "COMPLETED": ("char", "", "Done"),
    "STATUS": ("crm_enum_activitystatus", "", "State"),
    "RESPONSIBLE_ID": ("user", "r", "Responsible"),
    "PRIORITY": ("crm_enum_activitypriority", "", "Priority"),
    "NOTIFY_TYPE": ("crm_enum_activitynotifytype", "", "Reminder"),
    "NOTIFY_VALUE": ("integer", "", "Reminder's value"),
    "DESCRIPTION": ("string", "", "Description"),
    "DESCRIPTION_TYPE": ("crm_enum_contenttype", "", "Type of the description"),
    "DIRECTION": ("crm_enum_activitydirection", "", "Direction"),
    "LOCATION": ("string", "", "Place"),
    "SETTINGS": ("object", "", "Settings"),
    **texts("ORIGINATOR_ID", "ORIGIN_ID"),
    "AUTHOR_ID": ("user", "o", "Created by"),
    "EDITOR_ID": ("user", "o", "Modified by"),
    "PROVIDER_PARAMS": ("object", "", "Parameters of the provider"),
    "PROVIDER_DATA": ("string", "", "Data of the provider"),
    **texts("RESULT_MARK", kind="integer"),
    **texts("RESULT_VALUE", "RESULT_SUM", kind="double"),
    **texts("RESULT_CURRENCY_ID"),
    **texts("RESULT_STATUS", "RESULT_STREAM", kind="integer"),
    **texts("RESULT_SOURCE_ID"),
    "AUTOCOMPLETE_RULE": ("integer", "", "Done by itself"),
    "BINDINGS": ("crm_activity_binding", "om", "Bindings"),
    "COMMUNICATIONS": ("crm_activity_communication", "rm", "Who is addressed"),
    "FILES": ("diskfile", "m", "Files"),
    "WEBDAV_ELEMENTS": ("diskfile", "m", "Added files"),
    "IS_INCOMING_CHANNEL": ("char", "o", "Incoming"),
}
#: Columns that `get` does not return, and `list` only if they are selected.
_EXTRA = ("BINDINGS", "COMMUNICATIONS", "FILES", "WEBDAV_ELEMENTS", "IS_INCOMING_CHANNEL")
_INITIAL: dict[str, Any] = {
    "COMPLETED": "N",
    "STATUS": "1",
    "PRIORITY": "2",
    "NOTIFY_TYPE": "0",
    "NOTIFY_VALUE": "0",
    "DESCRIPTION": "",
    "DESCRIPTION_TYPE": "1",
    "DIRECTION": "0",
    "LOCATION": "",
    "SETTINGS": [],
    "PROVIDER_PARAMS": [],
    "ASSOCIATED_ENTITY_ID": "0",
    "RESULT_MARK": "0",
    "RESULT_STATUS": "0",
    "RESULT_STREAM": "0",
    "AUTOCOMPLETE_RULE": "0",
}
ACTIVITY = Family(
    "crm.activity",
    "Activity",
    _COLUMNS,
    _INITIAL,
    stamps=("CREATED", "LAST_UPDATED"),
    authors=("AUTHOR_ID", "EDITOR_ID"),
    hidden=frozenset(_EXTRA),
)


def add(call: Call) -> MethodResult:
    """crm.activity.add: the new activity's id."""
    sent = call.require_fields()
    kind = positive_int(sent.get("TYPE_ID"))
    if kind is None:
        raise RestError("", "The field TYPE_ID is not defined or invalid.")
    if not sent.get("SUBJECT"):
        raise RestError("", "The field SUBJECT is not defined or empty.")
    if positive_int(sent.get("RESPONSIBLE_ID")) is None:
        raise RestError("", "The field RESPONSIBLE_ID is not defined or invalid.")
    if kind == PROVIDER and not sent.get("PROVIDER_ID"):
        text = "The custom activity without provider is not supported in current context."
        raise RestError("", text)
    owner = _owner(call, sent)
    record = ACTIVITY.stored_record(sent, is_new=True)
    record |= {
        "COMMUNICATIONS": stored_communications(sent, kind),
        "FILES": stored_files(sent.get("FILES")),
    }
    return MethodResult(store_activity(call, owner, record))


def store_activity(call: Call, owner: tuple[int, int], record: Record) -> int:
    """Store a new activity of an object (`owner`: its type and id); returns the activity's id."""
    now = iso(call.portal.clock.wall())
    author = str(call.user)
    kind = positive_int(record.get("TYPE_ID")) or PROVIDER
    provider, provider_type = _PROVIDERS.get(kind, ("REST_APP", ""))
    times = {"START_TIME": record.get("START_TIME") or now}
    times["END_TIME"] = record.get("END_TIME") or times["START_TIME"]
    times["DEADLINE"] = record.get("DEADLINE") or times["END_TIME"]
    activity = {
        **_INITIAL,
        "PROVIDER_ID": provider,
        "PROVIDER_TYPE_ID": provider_type,
        **record,
        **times,
        "CREATED": now,
        "LAST_UPDATED": now,
        "AUTHOR_ID": author,
        "EDITOR_ID": author,
        "OWNER_TYPE_ID": str(owner[0]),
        "OWNER_ID": str(owner[1]),
        "bindings": [list(owner)],
    }
    activity["STATUS"] = "2" if activity["COMPLETED"] == "Y" else activity["STATUS"]
    number = call.portal.records.add(ACTIVITY.name, activity)
    send_record_event(call, "ACTIVITY", "ADD", number)
    return number


def update(call: Call) -> MethodResult:
    """crm.activity.update: true."""
    number, record = existing(call)
    sent = call.require_fields()
    if "SUBJECT" in sent and not sent["SUBJECT"]:
        raise RestError("", "The field SUBJECT is not defined or empty.")
    changed = {**record, **ACTIVITY.stored_record(sent, is_new=False)}
    if "COMMUNICATIONS" in sent:
        changed["COMMUNICATIONS"] = stored_communications(sent, int(record["TYPE_ID"]))
    save(call, number, changed)
    return MethodResult(result=True)


def save(call: Call, number: int, record: Record) -> None:
    """Store a changed activity."""
    record["STATUS"] = "2" if record["COMPLETED"] == "Y" else "1"
    record["LAST_UPDATED"] = iso(call.portal.clock.wall())
    record["EDITOR_ID"] = str(call.user)
    call.portal.records.put(ACTIVITY.name, number, record)
    send_record_event(call, "ACTIVITY", "UPDATE", number)


def get(call: Call) -> MethodResult:
    """crm.activity.get: an activity by its id."""
    number, record = existing(call, "Not found")
    return MethodResult(ACTIVITY.row(number, record))


def delete(call: Call) -> MethodResult:
    """crm.activity.delete: true."""
    number, _ = existing(call)
    call.portal.records.delete(ACTIVITY.name, number)
    send_record_event(call, "ACTIVITY", "DELETE", number)
    return MethodResult(result=True)


def list_(call: Call) -> MethodResult:
    """crm.activity.list: the activities found; communications and files only if selected."""
    records = call.portal.records.all(ACTIVITY.name)
    conditions = call.argument("filter")
    bound = _bindings(conditions) if isinstance(conditions, dict) else []
    chosen = selected_names(call.params)
    rows = []
    for number, record in records.items():
        if not bound or any(binding in bound for binding in record["bindings"]):
            row = ACTIVITY.row(number, record)
            row["COMMUNICATIONS"] = communication_rows(call, number, record)
            row["FILES"] = _file_rows(number, record)
            rows.append(row)
    rows, total, following = page(select_as_lead_list(rows, call), first_row(call.params))
    extra = {"COMMUNICATIONS", "FILES"} & chosen
    names = [name for name in _COLUMNS if name not in _EXTRA and ({name, "*"} & chosen)]
    views = [{name: row[name] for name in ("ID", *names, *sorted(extra))} for row in rows]
    return MethodResult(views, total, following)


def described_fields(_: Call) -> MethodResult:
    """crm.activity.fields: the fields of an activity."""
    descriptions = describe(_COLUMNS)
    descriptions["WEBDAV_ELEMENTS"]["isDeprecated"] = True
    return MethodResult(descriptions)


def existing(call: Call, text: str = "Activity is not found.") -> tuple[int, Record]:
    """The activity that `id` names; raises RestError."""
    number = positive_int(call.argument("id"))
    record = call.portal.records.get(ACTIVITY.name, number)
    if number is None or record is None:
        raise RestError("", text)
    return number, record


def _owner(call: Call, sent: Mapping[str, Any]) -> tuple[int, int]:
    """The object of an activity: the one that was sent, or that of the first communication."""
    type_id, item_id = (positive_int(sent.get(name)) for name in ("OWNER_TYPE_ID", "OWNER_ID"))
    if type_id is None or item_id is None:
        first = next(iter(sent_rows(sent.get("COMMUNICATIONS"))), {})
        type_id, item_id = (
            positive_int(first.get(name)) for name in ("ENTITY_TYPE_ID", "ENTITY_ID")
        )
    entity = call.portal.types.get(type_id)
    if entity is None or item_id is None:
        text = "Could not build binding. Please ensure that owner info and communications are"
        raise RestError("", f"{text} defined correctly.")
    item = call.item(entity, item_id)
    if item is None or not call.may_read(item):
        raise access_denied()
    return entity.type_id, item_id


def _file_rows(number: int, record: Record) -> list[dict[str, Any]]:
    """The files of an activity (type 6), with ids that no file of another activity has."""
    address = "https://portal.bitrix24.local/bitrix/tools/crm_show_file.php"
    ids = [FILES_MAX * number + index for index, _ in enumerate(record.get("FILES", []))]
    return [
        {"id": file_id, "url": f"{address}?fileId={file_id}&ownerTypeId=6&ownerId={number}&auth="}
        for file_id in ids
    ]


def _bindings(conditions: Mapping[str, Any]) -> list[list[int]]:
    """The objects that the filter's BINDINGS names."""
    return [
        [positive_int(row.get("OWNER_TYPE_ID")) or 0, positive_int(row.get("OWNER_ID")) or 0]
        for row in sent_rows(conditions.get("BINDINGS"))
    ]


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.activity.add": add,
    "crm.activity.update": update,
    "crm.activity.get": get,
    "crm.activity.list": list_,
    "crm.activity.delete": delete,
    "crm.activity.fields": described_fields,
    "crm.activity.communication.fields": lambda _: MethodResult(describe(COMMUNICATION)),
}

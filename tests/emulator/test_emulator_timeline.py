"""Comments, notes, entries and activities of CRM objects. Documentation: crm/timeline/.

As type of an object, 1 is a lead, 2 a deal, and 3 a contact.
"""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator

GIF = ["1.gif", "R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw=="]


@pytest.fixture
def emulator_with_objects(emulator: Emulator) -> Emulator:
    for kind in ("lead", "deal", "deal", "contact"):
        emulator.result(f"crm.{kind}.add", {"fields": {"TITLE": "x", "NAME": "Klaus"}})
    return emulator


def error_of(emulator: Emulator, method: str, params: object) -> tuple[Any, str]:
    response = emulator.post(method, params)
    assert response.status_code == 400, response.text
    return response.json()["error"], response.json()["error_description"]


def test_a_comment_is_added_shown_changed_and_deleted(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/comments/."""
    emulator = emulator_with_objects
    fields = {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "New", "FILES": [GIF]}
    assert emulator.result("crm.timeline.comment.add", {"fields": fields}) == 1
    comment = emulator.result("crm.timeline.comment.get", {"id": 1})
    texts = [comment[name] for name in ("ID", "ENTITY_ID", "ENTITY_TYPE", "COMMENT", "AUTHOR_ID")]
    assert texts == ["1", "1", "deal", "New", "1"]
    assert [comment["FILES"]["1"][name] for name in ("name", "size", "type")] == [
        "1.gif",
        43,
        "image",
    ]
    changed = {"id": 1, "fields": {"COMMENT": "Changed"}}
    assert emulator.result("crm.timeline.comment.update", changed) == 1
    query = {"filter": {"ENTITY_ID": 1, "ENTITY_TYPE": "deal"}, "select": ["ID", "COMMENT"]}
    assert emulator.result("crm.timeline.comment.list", query) == [
        {"ID": "1", "COMMENT": "Changed"}
    ]
    other = {"id": 1, "ownerTypeId": 2, "ownerId": 2}
    assert error_of(emulator, "crm.timeline.comment.delete", other)[0] == "NOT_FOUND"
    binding = {"id": 1, "ownerTypeId": 2, "ownerId": 1}
    assert emulator.result("crm.timeline.comment.delete", binding) is None
    assert error_of(emulator, "crm.timeline.comment.get", {"id": 1}) == ("", "Not found.")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ENTITY_TYPE": "deal", "COMMENT": "x"}, "100"),
        ({"ENTITY_ID": 9, "ENTITY_TYPE": "deal", "COMMENT": "x"}, "OWNER_NOT_FOUND"),
        ({"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": " "}, "INVALID_ARG_VALUE"),
    ],
)
def test_a_comment_needs_an_object_and_a_text(
    emulator_with_objects: Emulator, fields: dict[str, Any], code: str
) -> None:
    method = "crm.timeline.comment.add"
    assert error_of(emulator_with_objects, method, {"fields": fields})[0] == code


def test_a_comment_is_shown_by_all_its_objects(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/bindings/."""
    emulator = emulator_with_objects
    fields = {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "New"}
    emulator.result("crm.timeline.comment.add", {"fields": fields})
    binding = {"OWNER_ID": 1, "ENTITY_ID": 1, "ENTITY_TYPE": "contact"}
    assert emulator.result("crm.timeline.bindings.bind", {"fields": binding}) is True
    owner = {"filter": {"OWNER_ID": 1}}
    assert [row["ENTITY_TYPE"] for row in emulator.result("crm.timeline.bindings.list", owner)] == [
        "deal",
        "contact",
    ]
    query = {"filter": {"ENTITY_ID": 1, "ENTITY_TYPE": "contact"}}
    assert len(emulator.result("crm.timeline.comment.list", query)) == 1
    assert emulator.result("crm.timeline.bindings.unbind", {"fields": binding}) is True
    error = error_of(emulator, "crm.timeline.bindings.unbind", {"fields": binding})
    assert error == ("", "Not found.")


def test_three_entries_at_most_are_pinned(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/actions/."""
    emulator = emulator_with_objects
    fields = {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "New"}
    for _ in range(4):
        emulator.result("crm.timeline.comment.add", {"fields": fields})
    pins = [{"id": number, "ownerTypeId": 2, "ownerId": 1} for number in (1, 2, 3, 4)]
    for pin in pins[:3]:
        assert emulator.result("crm.timeline.item.pin", pin) is None
    assert error_of(emulator, "crm.timeline.item.pin", pins[3])[0] == 0
    assert emulator.result("crm.timeline.item.unpin", pins[0]) is None
    assert emulator.result("crm.timeline.item.pin", pins[3]) is None


def test_notes_and_entries_belong_to_an_object(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/note/, crm/timeline/logmessage/."""
    emulator = emulator_with_objects
    note = {"ownerTypeId": 1, "ownerId": 1, "itemType": 1, "itemId": 2}
    assert error_of(emulator, "crm.timeline.note.get", note)[0] == "NOT_FOUND"
    assert emulator.result("crm.timeline.note.save", {**note, "text": "Test"}) is True
    assert emulator.result("crm.timeline.note.get", note)["text"] == "Test"
    assert emulator.result("crm.timeline.note.delete", note) is True
    entry = {"entityTypeId": 1, "entityId": 1, "title": "T", "text": "t", "iconCode": "info"}
    message = emulator.result("crm.timeline.logmessage.add", {"fields": entry})["logMessage"]
    assert (message["id"], message["title"], message["authorId"]) == (1, "T", 1)
    query = {"entityTypeId": 1, "entityId": 1, "order": {"created": "desc"}}
    assert emulator.call("crm.timeline.logmessage.list", query)["total"] == 1
    assert emulator.result("crm.timeline.logmessage.delete", {"id": 1}) is True
    error = error_of(emulator, "crm.timeline.logmessage.get", {"id": 1})
    assert error == ("NOT_FOUND", "Timeline logmessage not found for id 1")
    icon = {"code": "own", "fileContent": "x"}
    assert emulator.result("crm.timeline.icon.add", icon)["icon"]["isSystem"] is False
    assert emulator.result("crm.timeline.logo.get", {"code": "call"})["logo"]["isSystem"] is True


def test_an_activity_stores_its_owner_and_its_communications(
    emulator_with_objects: Emulator,
) -> None:
    """Documentation: crm/timeline/activities/activity-base/."""
    emulator = emulator_with_objects
    phone = {"VALUE": "+4998", "ENTITY_ID": 1, "ENTITY_TYPE_ID": 3}
    fields = {"OWNER_TYPE_ID": 2, "OWNER_ID": 1, "TYPE_ID": 2, "SUBJECT": "Call"}
    fields |= {"RESPONSIBLE_ID": 1, "COMMUNICATIONS": [phone], "COMPLETED": "N"}
    assert emulator.result("crm.activity.add", {"fields": fields}) == 1
    activity = emulator.result("crm.activity.get", {"id": 1})
    names = ("OWNER_ID", "OWNER_TYPE_ID", "PROVIDER_ID", "STATUS", "COMPLETED")
    assert [activity[name] for name in names] == ["1", "2", "CRM_CALL", "1", "N"]
    assert "COMMUNICATIONS" not in activity
    completion = {"id": 1, "fields": {"COMPLETED": "Y"}}
    assert emulator.result("crm.activity.update", completion) is True
    query = {"filter": {"OWNER_TYPE_ID": 2, "COMPLETED": "Y"}, "select": ["ID", "COMMUNICATIONS"]}
    (row,) = emulator.result("crm.activity.list", query)
    assert row["COMMUNICATIONS"][0]["ENTITY_SETTINGS"]["NAME"] == "Klaus"
    assert row.keys() == {"ID", "COMMUNICATIONS"}
    assert emulator.result("crm.activity.delete", {"id": 1}) is True
    error = error_of(emulator, "crm.activity.delete", {"id": 1})
    assert error == ("", "Activity is not found.")


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("TYPE_ID", "The field TYPE_ID is not defined or invalid."),
        ("SUBJECT", "The field SUBJECT is not defined or empty."),
        ("RESPONSIBLE_ID", "The field RESPONSIBLE_ID is not defined or invalid."),
        ("COMMUNICATIONS", "The field COMMUNICATIONS is not defined or invalid."),
    ],
)
def test_an_activity_without_a_mandatory_field_is_refused(
    emulator_with_objects: Emulator, missing: str, text: str
) -> None:
    fields = {"OWNER_TYPE_ID": 2, "OWNER_ID": 1, "TYPE_ID": 2, "SUBJECT": "Call"}
    fields |= {"RESPONSIBLE_ID": 1, "COMMUNICATIONS": [{"VALUE": "1"}]}
    del fields[missing]
    assert error_of(emulator_with_objects, "crm.activity.add", {"fields": fields})[1] == text


def test_an_activity_is_bound_moved_and_unbound(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/activities/binding/, crm/timeline/activities/todo/."""
    emulator = emulator_with_objects
    todo = {"ownerTypeId": 2, "ownerId": 1}
    late = {**todo, "deadline": "2026-12-31T10:00:00+03:00", "title": "Ask"}
    assert emulator.result("crm.activity.todo.add", late) == {"id": 1}
    wrong = {**todo, "deadline": "soon"}
    assert error_of(emulator, "crm.activity.todo.add", wrong)[0] == "WRONG_DATETIME_FORMAT"
    lead = {"activityId": 1, "entityTypeId": 1, "entityId": 1}
    assert emulator.result("crm.activity.binding.add", lead) is True
    repeat = error_of(emulator, "crm.activity.binding.add", lead)
    assert repeat[0] == "ACTIVITY_IS_ALREADY_BOUND"
    move = {"activityId": 1, "sourceEntityTypeId": 2, "sourceEntityId": 1}
    move |= {"targetEntityTypeId": 2, "targetEntityId": 2}
    assert emulator.result("crm.activity.binding.move", move) is True
    assert emulator.result("crm.activity.get", {"id": 1})["OWNER_ID"] == "2"
    assert emulator.result("crm.activity.binding.delete", lead) is True
    last = {"activityId": 1, "entityTypeId": 2, "entityId": 2}
    code = error_of(emulator, "crm.activity.binding.delete", last)[0]
    assert code == "LAST_BINDING_CANNOT_BE_DELETED"
    completion = {"id": 1, "fields": {"COMPLETED": "Y"}}
    emulator.result("crm.activity.update", completion)
    change = {"id": 1, "ownerTypeId": 2, "ownerId": 2, "value": "x"}
    code = error_of(emulator, "crm.activity.todo.updateDescription", change)[0]
    assert code == "CAN_NOT_UPDATE_COMPLETED_TODO"


def test_applications_define_badges_and_types_of_activities(emulator: Emulator) -> None:
    """Documentation: crm/timeline/activities/configurable/badges/, .../types/."""
    badge = {"code": "missed", "title": "Call", "value": "Missed", "type": "failure"}
    assert emulator.result("crm.activity.badge.add", badge) == {"badge": badge}
    assert emulator.result("crm.activity.badge.list") == {"badges": [badge]}
    code = error_of(emulator, "crm.activity.badge.add", {"code": "x"})[0]
    assert code == "REQUIRED_ARG_MISSING"
    assert emulator.result("crm.activity.badge.delete", {"code": "missed"}) is True
    assert error_of(emulator, "crm.activity.badge.get", {"code": "missed"})[0] == "NOT_FOUND"
    fields = {"TYPE_ID": "1C", "NAME": "1C case", "IS_CONFIGURABLE_TYPE": "Y"}
    assert emulator.result("crm.activity.type.add", {"fields": fields}) is True
    repeat = error_of(emulator, "crm.activity.type.add", {"fields": fields})
    assert repeat[0] == "INVALID_ARG_VALUE"
    assert emulator.result("crm.activity.type.list") == [{**fields, "ICON_ID": "0"}]
    assert emulator.result("crm.activity.type.delete", {"TYPE_ID": "1C"}) is True


def test_changes_of_the_timeline_are_events(emulator_with_objects: Emulator) -> None:
    """Documentation: crm/timeline/activities/events/, crm/timeline/comments/events/."""
    emulator = emulator_with_objects
    names = ["ONCRMACTIVITYADD", "ONCRMTIMELINECOMMENTADD", "ONCRMTIMELINECOMMENTDELETE"]
    for name in names:
        emulator.result("event.bind", {"event": name, "event_type": "offline"})
    todo = {"ownerTypeId": 2, "ownerId": 1, "deadline": "2026-12-31T10:00:00+03:00"}
    emulator.result("crm.activity.todo.add", todo)
    fields = {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "New"}
    emulator.result("crm.timeline.comment.add", {"fields": fields})
    emulator.result("crm.timeline.comment.delete", {"id": 1})
    events = emulator.result("event.offline.list")
    assert [(row["EVENT_NAME"], row["EVENT_DATA"]["FIELDS"]["ID"]) for row in events] == [
        (name, "1") for name in names
    ]

"""Offline events, which an application polls."""

from typing import Any

from tests.emulator.emulator_process import Emulator


def bind(emulator: Emulator, event: str = "ONCRMLEADUPDATE", connector: str = "") -> None:
    params = {"event": event, "event_type": "offline", "auth_connector": connector}
    assert emulator.result("event.bind", params) is True


def fetch(emulator: Emulator, **params: Any) -> tuple[str | None, list[tuple[str, str]]]:
    """The process id, and the name and lead id of each event, of event.offline.get."""
    answer = emulator.result("event.offline.get", params)
    events = [
        (event["EVENT_NAME"], event["EVENT_DATA"]["FIELDS"]["ID"]) for event in answer["events"]
    ]
    return answer["process_id"], events


def test_several_changes_of_a_lead_are_one_event_and_read_once(emulator: Emulator) -> None:
    bind(emulator)
    emulator.add()
    for name in ("a", "b"):
        emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": name}})
    assert fetch(emulator) == (None, [("ONCRMLEADUPDATE", "1")])
    assert fetch(emulator) == (None, [])


def test_events_can_look_as_in_the_documented_examples(emulator: Emulator) -> None:
    bind(emulator, "ONCRMLEADADD")
    emulator.set(offline_event_data="false")
    emulator.add()
    (listed,) = emulator.result("event.offline.list")
    (read,) = emulator.result("event.offline.get")["events"]
    documented = {"EVENT_DATA": False, "EVENT_ADDITIONAL": False, "MESSAGE_ID": "1"}
    assert documented.items() <= read.items()
    assert listed == {**read, "PROCESS_ID": "", "ERROR": "0"}


def test_parallel_readers_get_disjoint_sets_until_they_clear(emulator: Emulator) -> None:
    bind(emulator, "ONCRMLEADADD")
    for _ in range(3):
        emulator.add()
    first, first_events = fetch(emulator, clear=0, limit=2)
    second, second_events = fetch(emulator, clear=0, limit=2)
    assert [lead_id for _, lead_id in first_events + second_events] == ["1", "2", "3"]
    assert first != second
    assert fetch(emulator, clear=0, process_id=second) == (second, second_events)
    for process_id in (first, second):
        assert emulator.result("event.offline.clear", {"process_id": process_id}) is True
    assert fetch(emulator)[1] == []


def test_an_applications_own_writes_are_not_in_its_queue(emulator: Emulator) -> None:
    bind(emulator, "ONCRMLEADADD", "mine")
    bind(emulator, "ONCRMLEADADD", "theirs")
    emulator.result("crm.lead.add", {"fields": {}, "auth_connector": "mine"})
    emulator.add()
    assert [lead_id for _, lead_id in fetch(emulator, auth_connector="mine")[1]] == ["2"]
    assert [lead_id for _, lead_id in fetch(emulator, auth_connector="theirs")[1]] == ["1", "2"]


def test_an_offline_handler_is_listed_and_unbound(emulator: Emulator) -> None:
    bind(emulator)
    listed = [{"event": "ONCRMLEADUPDATE", "connector_id": "", "offline": 1}]
    assert emulator.result("event.get") == listed
    params = {"event": "ONCRMLEADUPDATE", "event_type": "offline"}
    assert emulator.result("event.unbind", params) == {"count": 1}
    assert emulator.post("event.offline.clear").status_code == 400


def test_offline_events_can_be_filtered_ordered_and_listed_without_being_taken(
    emulator: Emulator,
) -> None:
    """Documentation: events/event-offline-get.md, event-offline-list.md."""
    for event in ("ONCRMLEADADD", "ONCRMLEADUPDATE", "ONCRMCONTACTADD"):
        bind(emulator, event)
    emulator.add()
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "a"}})
    emulator.result("crm.contact.add", {"fields": {}})
    listed = emulator.call("event.offline.list", {"order": {"ID": "DESC"}})
    assert ([event["ID"] for event in listed["result"]], listed["total"]) == (["3", "2", "1"], 3)
    assert (listed["result"][0]["PROCESS_ID"], listed["result"][0]["ERROR"]) == ("", "0")
    query = {"filter": {"EVENT_NAME": "ONCRMCONTACTADD"}}
    assert fetch(emulator, **query)[1] == [("ONCRMCONTACTADD", "1")]
    assert fetch(emulator, filter={">ID": 1}, order={"ID": "DESC"})[1] == [("ONCRMLEADUPDATE", "1")]
    assert fetch(emulator)[1] == [("ONCRMLEADADD", "1")]


def test_a_process_can_reread_its_events_and_clear_single_ones(emulator: Emulator) -> None:
    bind(emulator, "ONCRMLEADADD")
    for _ in range(3):
        emulator.add()
    process, _ = fetch(emulator, clear=0)
    assert fetch(emulator, clear=0)[1] == []
    reread = fetch(emulator, clear=0, process_id=process)
    assert reread == (process, [("ONCRMLEADADD", str(lead_id)) for lead_id in (1, 2, 3)])
    listed = emulator.result("event.offline.list", {"filter": {"PROCESS_ID": process}})
    assert len(listed) == 3
    cleared = {"process_id": process, "message_id": [1]}
    assert emulator.result("event.offline.clear", cleared) is True
    failed = {"process_id": process, "message_id": [2]}
    assert emulator.result("event.offline.error", failed) is True
    assert fetch(emulator, clear=0, process_id=process)[1] == [("ONCRMLEADADD", "3")]
    assert fetch(emulator, clear=0, error=1)[1] == [("ONCRMLEADADD", "2")]
    emulator.set(event_bind="wrong_auth_type")
    assert emulator.post("event.offline.list").status_code == 403

"""From a user to its lead and back: one lead, the last state, only changed fields."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.faults import portal
from tests.faults.amqp_client import REQUESTS, connect, held_back
from tests.servers import eventually
from tests.system import System

pytestmark = pytest.mark.usefixtures("portal_in_order")


def test_a_created_user_becomes_a_lead_and_gets_its_id(system: System) -> None:
    answer = system.request(
        "POST", "/users", json={"full_name": "Гульнара Ахметова", "phone": "8 (700) 111-22-33"}
    )
    assert answer.status_code == 422, "a phone without its country code is ambiguous"
    user = system.create("Гульнара Ахметова", "+7 (700) 111-22-33")
    assert user["phone"] == "+77001112233"
    sync = system.await_synced(user["id"])["sync"]
    lead = portal.lead_of(system, user["id"])
    assert portal.looks_like(lead, user)
    assert lead["ORIGIN_ID"] == str(user["id"])
    assert re.fullmatch("leadline-[0-9a-f]{8}", lead["ORIGINATOR_ID"]), "this installation's own"
    assert str(sync["bitrix_lead_id"]) == lead["ID"]
    expected = {"status": "synced", "reason": None, "attempts": 1, "version": 1}
    assert {name: sync[name] for name in expected} == expected
    assert [event["state"] for event in sync["events"]] == ["synced"]


def test_an_idle_system_creates_the_lead_within_a_second(system: System) -> None:
    """On a slow machine it may take longer, by ten times as long as the write itself takes."""
    late_s = []
    for _ in range(5):
        begun = time.monotonic()
        user = system.create()
        write_s = time.monotonic() - begun
        eventually(partial(portal.leads_of, system, user["id"]), 120, "a lead")
        late_s.append(time.monotonic() - begun - 10 * write_s)
    assert min(late_s) < 1, late_s


def test_quick_successive_writes_end_as_one_lead_with_the_last_state(
    system: System,
) -> None:
    def write_four_times(number: int) -> dict[str, Any]:
        user = system.create(f"Первая {number}", "+77001112233")
        path = f"/users/{user['id']}"
        system.request("PATCH", path, json={"full_name": f"Вторая {number}"})
        system.request("PATCH", path, json={"phone": f"+7700200{number:04}"})
        answer = system.request("POST", f"{path}/move", json={"stage": "PROCESSED"})
        assert answer.json() == {
            "id": user["id"],
            "full_name": f"Вторая {number}",
            "phone": f"+7700200{number:04}",
            "stage": "PROCESSED",
        }
        return dict(answer.json())

    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(write_four_times, range(12)))
    for user in users:
        sync = system.await_synced(user["id"], within_s=120)["sync"]
        assert sync["version"] == 4
        assert portal.looks_like(portal.lead_of(system, user["id"]), user)
        eventually(partial(_is_settled, system, user["id"]), 120, "every event is settled")
        states = [event["state"] for event in system.user(user["id"])["sync"]["events"]]
        assert states[0] == "synced"
        assert set(states[1:]) <= {"synced", "superseded"}


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 1, 0, 0, 2, 2), (2, 0, 2, 1, 0)])
def test_messages_in_any_order_and_number_end_in_the_newest_state(
    system: System, order: tuple[int, ...]
) -> None:
    with connect(system) as amqp:
        with held_back(system, amqp):
            user = system.create("Сначала Так", "+77001112233")
            path = f"/users/{user['id']}"
            system.request("PATCH", path, json={"full_name": "Потом Этак"})
            user = system.request("POST", f"{path}/move", json={"stage": "IN_PROCESS"}).json()
            messages = amqp.await_messages(
                REQUESTS,
                lambda request: request.content["data"]["user"]["id"] == user["id"],
                count=3,
            )
            messages.sort(key=lambda message: int(message.content["data"]["version"]))
            for index in order:
                amqp.send_back(messages[index], REQUESTS)
        system.await_synced(user["id"], within_s=120)
        eventually(partial(_is_settled, system, user["id"]), 120, "every event is settled")
    assert portal.looks_like(portal.lead_of(system, user["id"]), user)
    assert system.user(user["id"])["sync"]["status"] == "synced"


def test_a_new_phone_replaces_the_old_one(system: System) -> None:
    user = system.create()
    system.await_synced(user["id"])
    row = portal.lead_of(system, user["id"])["PHONE"][0]["ID"]
    for phone in ("+77005556677", "+77008889900"):
        system.request("PATCH", f"/users/{user['id']}", json={"phone": phone})
        system.await_synced(user["id"])
        phones = portal.lead_of(system, user["id"])["PHONE"]
        assert [(found["ID"], found["VALUE"]) for found in phones] == [(row, phone)]


def test_only_changed_fields_are_sent(system: System) -> None:
    user = system.create("Прежнее Имя")
    system.await_synced(user["id"])
    path = f"/users/{user['id']}"
    for method, suffix, body in (
        ("PATCH", "", {"full_name": "Новое Имя"}),
        ("PATCH", "", {"phone": "+77005556677"}),
        ("POST", "/move", {"stage": "IN_PROCESS"}),
    ):
        system.request(method, path + suffix, json=body)
        system.await_synced(user["id"])
    writes = portal.lead_of(system, user["id"])["history"][1:]
    assert [set(write["fields"]) for write in writes] == [{"title", "name"}, {"fm"}, {"stageId"}]


def test_an_update_that_changes_nothing_sends_nothing(system: System) -> None:
    user = system.create("Та Же Самая")
    system.await_synced(user["id"])
    system.request("PATCH", f"/users/{user['id']}", json={"full_name": "Та Же Самая"})
    assert system.await_synced(user["id"])["sync"]["version"] == 2
    assert len(portal.lead_of(system, user["id"])["history"]) == 1


def test_a_stage_set_by_hand_outlives_an_update_that_did_not_touch_it(system: System) -> None:
    user = system.create()
    system.await_synced(user["id"])
    lead = portal.lead_of(system, user["id"])
    system.control("PATCH", f"leads/{lead['ID']}", {"STATUS_ID": "CONVERTED"})
    system.request("PATCH", f"/users/{user['id']}", json={"full_name": "Другое Имя"})
    system.await_synced(user["id"])
    lead = portal.lead_of(system, user["id"])
    assert (lead["TITLE"], lead["STATUS_ID"]) == ("Другое Имя", "CONVERTED")


@pytest.mark.parametrize("by", ["move", "update"])
def test_setting_the_same_stage_again_moves_the_lead_back(system: System, by: str) -> None:
    user = system.create()
    path = f"/users/{user['id']}"
    system.request("POST", f"{path}/move", json={"stage": "PROCESSED"})
    system.await_synced(user["id"])
    lead = portal.lead_of(system, user["id"])
    system.control("PATCH", f"leads/{lead['ID']}", {"STATUS_ID": "JUNK"})
    if by == "move":
        system.request("POST", f"{path}/move", json={"stage": "PROCESSED"})
    else:
        system.request("PATCH", path, json={"stage": "PROCESSED"})
    system.await_synced(user["id"])
    assert portal.lead_of(system, user["id"])["STATUS_ID"] == "PROCESSED"


def test_a_lead_deleted_in_the_portal_is_recreated_with_the_next_write(system: System) -> None:
    user = system.create("Кого Удалили")
    lead_id = system.await_synced(user["id"])["sync"]["bitrix_lead_id"]
    portal.call(system, "crm.lead.delete", id=lead_id)
    user = system.request("POST", f"/users/{user['id']}/move", json={"stage": "IN_PROCESS"}).json()
    sync = system.await_synced(user["id"], within_s=120)["sync"]
    lead = portal.lead_of(system, user["id"])
    assert portal.looks_like(lead, user)
    assert lead["ID"] == str(sync["bitrix_lead_id"]) != str(lead_id)


def _is_settled(system: System, user_id: int) -> bool:
    return all(event["state"] != "open" for event in system.user(user_id)["sync"]["events"])

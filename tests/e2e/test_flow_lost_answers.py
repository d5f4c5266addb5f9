"""An answer of Bitrix24 that is lost causes neither a second lead nor a second phone."""

from functools import partial

import pytest

from tests.faults import portal
from tests.servers import eventually
from tests.system import System

pytestmark = pytest.mark.usefixtures("portal_in_order")


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "drop_after"},
        {"action": "truncate"},
        {"action": "late_commit", "delay_ms": 500},
        # The create runs after the first lookup, which finds nothing; nothing may be created again.
        {"action": "late_commit", "delay_ms": 4000},
        {"action": "html_502", "execute": True},
        # The answer to a second create would be dropped, too: none is sent.
        {"action": "drop_after", "count": 2},
    ],
    ids=str,
)
def test_a_lost_answer_to_a_create_does_not_make_a_second_lead(
    system: System, fault: dict[str, object]
) -> None:
    portal.add_fault(system, **{"method": "crm.item.add", "count": 1, **fault})  # type: ignore[arg-type]
    user = system.create("Чей Ответ Пропал")
    sync = system.await_synced(user["id"], within_s=120)["sync"]
    assert portal.hits(system) == 1
    lead = portal.lead_of(system, user["id"])
    assert lead["ID"] == str(sync["bitrix_lead_id"])
    assert portal.looks_like(lead, user)


@pytest.mark.parametrize(
    "fault",
    [{"action": "drop_after"}, {"action": "truncate"}, {"action": "drop_before"}],
    ids=str,
)
def test_a_lost_answer_to_an_update_does_not_make_a_second_phone(
    system: System, fault: dict[str, object]
) -> None:
    user = system.create("Прежнее Имя")
    system.await_synced(user["id"])
    portal.add_fault(system, **{"method": "crm.item.update", "count": 1, **fault})  # type: ignore[arg-type]
    body = {"full_name": "Новое Имя", "phone": "+77005556677", "stage": "IN_PROCESS"}
    user = system.request("PATCH", f"/users/{user['id']}", json=body).json()
    system.await_synced(user["id"], within_s=120)
    assert portal.hits(system) == 1
    assert portal.looks_like(portal.lead_of(system, user["id"]), user)


def test_a_lost_answer_to_a_full_batch_duplicates_no_lead(system: System) -> None:
    # While the first calls are slow, the other users accumulate.
    system.control("PUT", "settings", {"request_ms": 800})
    portal.add_fault(system, "drop_after", "batch", count=2)
    users = [system.create(f"Из Пачки {number}") for number in range(30)]
    eventually(partial(_are_synced, system, users), 120, "all users are synced")
    for user in users:
        assert portal.looks_like(portal.lead_of(system, user["id"]), user)
    assert system.control("GET", "duplicates") == []


def _are_synced(system: System, users: list[dict[str, object]]) -> bool:
    return all(system.user(int(str(user["id"])))["sync"]["status"] == "synced" for user in users)

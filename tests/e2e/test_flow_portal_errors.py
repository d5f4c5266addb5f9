"""Bitrix24 fails: attempts at 0, 2 and 4 s, one reply, and no attempt for a refusal."""

import time
from itertools import pairwise

import pytest

from tests.faults import portal, system_logs
from tests.servers import eventually
from tests.system import System

pytestmark = pytest.mark.usefixtures("portal_in_order")

#: How late a slow machine may make an attempt; never early.
LATE_S = 20


def _await_failed(system: System, user_id: int, within_s: float = 120) -> dict[str, object]:
    eventually(
        lambda: system.user(user_id)["sync"]["status"] == "failed", within_s, "the user failed"
    )
    return dict(system.user(user_id)["sync"])


def _replies_sent(system: System, call: str) -> list[str]:
    lines = system_logs.of_call(system, call)
    return [str(line["status"]) for line in lines if line["event"] == "reply sent"]


def _create(system: System, call: str, full_name: str = "Кто Попал") -> int:
    answer = system.request(
        "POST",
        "/users",
        json={"full_name": full_name, "phone": "+77001112233"},
        headers={"X-Call-Id": call},
    )
    return int(answer.json()["id"])


def test_three_attempts_at_0_2_and_4_seconds_then_one_error(system: System) -> None:
    portal.add_fault(system, "error", status=500)
    before = len(system.control("GET", "calls")["times"])
    user_id = _create(system, "call-three-attempts")
    sync = _await_failed(system, user_id)
    times = system.control("GET", "calls")["times"][before:]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 3
    assert 2 <= waits[0] < 2 + LATE_S
    assert 4 <= waits[1] < 4 + LATE_S
    assert sync["attempts"] == 3
    assert sync["reason"]
    assert sync["bitrix_lead_id"] is None
    assert "retry_at" in sync
    assert [(event["state"], event["attempts"]) for event in sync["events"]] == [  # type: ignore[attr-defined]
        ("failed", 3)
    ]
    # More replies would arrive before that of a later write.
    portal.clear_faults(system)
    system.await_synced(system.create()["id"])
    assert _replies_sent(system, "call-three-attempts") == ["error"]
    assert portal.leads_of(system, user_id) == []


def test_a_failed_user_is_synced_by_the_next_write(system: System) -> None:
    portal.add_fault(system, "error", "crm.item.add", status=400, code="ERROR_CORE")
    user_id = _create(system, "call-next-write")
    _await_failed(system, user_id)
    portal.clear_faults(system)
    user = system.request("POST", f"/users/{user_id}/move", json={"stage": "IN_PROCESS"}).json()
    sync = system.await_synced(user_id)["sync"]
    assert (sync["reason"], sync["attempts"]) == (None, 1)
    assert portal.looks_like(portal.lead_of(system, user_id), user)


def test_a_permanent_error_is_answered_once_and_not_retried(system: System) -> None:
    portal.add_fault(
        system, "error", "crm.item.add", status=400, code="ERROR_CORE", description="no"
    )
    before = system.control("GET", "calls")["requests"]
    user_id = _create(system, "call-permanent")
    sync = _await_failed(system, user_id)
    assert (sync["attempts"], sync["reason"]) == (1, "no")
    assert "retry_at" not in sync
    assert system.control("GET", "calls")["requests"] == before + 1
    assert _replies_sent(system, "call-permanent") == ["error"]


def test_a_bad_user_in_a_batch_harms_no_other(system: System) -> None:
    portal.add_fault(system, "error", "crm.item.add", status=400, code="ERROR_CORE", count=1)
    system.control("PUT", "settings", {"request_ms": 300})
    users = [system.create(f"Сосед {number}")["id"] for number in range(8)]
    eventually(
        lambda: all(system.user(user)["sync"]["status"] != "waiting" for user in users),
        120,
        "all users have a reply",
    )
    states = sorted(system.user(user)["sync"]["status"] for user in users)
    assert states == ["failed", *["synced"] * 7]


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "QUERY_LIMIT_EXCEEDED"), (429, "OPERATION_TIME_LIMIT")],
)
def test_a_refusal_spends_no_attempt_and_recovers_by_itself(
    system: System, status: int, code: str
) -> None:
    portal.add_fault(system, "error", status=status, code=code, count=3)
    user = system.create()
    sync = system.await_synced(user["id"], within_s=120)["sync"]
    assert portal.hits(system) == 3
    assert sync["attempts"] == 1
    portal.lead_of(system, user["id"])


def test_a_refused_command_in_a_batch_spends_no_attempt(system: System) -> None:
    portal.add_fault(system, "error", "crm.item.add", code="OPERATION_TIME_LIMIT", count=4)
    user = system.create()
    assert system.await_synced(user["id"], within_s=120)["sync"]["attempts"] == 1
    assert portal.hits(system) == 4


@pytest.mark.slow("probes of a closed portal back off")
def test_a_closed_portal_is_awaited_without_attempts(system: System) -> None:
    """Calls stop but for a probe after 5 s, the next after 10 s; no user fails."""
    begun = time.monotonic()
    system.control("PUT", "settings", {"mode": "revoked"})
    before = system.control("GET", "calls")["requests"]
    users = [system.create(f"Ждёт {number}")["id"] for number in range(5)]
    until = time.monotonic() + 6.5  # by then three attempts would be over
    eventually(lambda: time.monotonic() > until, 120, "the attempts would be over")
    assert {system.user(user)["sync"]["status"] for user in users} == {"waiting"}
    called = system.control("GET", "calls")["requests"] - before
    # A probe every five seconds at most, and a few calls of workers that began before the pause.
    assert called <= (time.monotonic() - begun) / 5 + 4
    system.control("PUT", "settings", {"mode": "ok"})
    for user in users:
        assert system.await_synced(user, within_s=120)["sync"]["attempts"] == 1
        portal.lead_of(system, user)

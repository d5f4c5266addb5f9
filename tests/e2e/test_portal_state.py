"""The state of the portal as a running system shows it, and its consequences."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Leadline
from tests.faults import portal
from tests.servers import eventually
from tests.system import System


@pytest.fixture(autouse=True)
def _portal_in_order(system: System) -> Iterator[None]:
    with portal.in_order(system):
        yield
    system.control("PUT", "settings", {"crm_mode": "classic"})


def portal_health(system: System) -> dict[str, str]:
    answer = system.request("GET", "/healthz")
    return dict(answer.json()["parts"]["portal"])


@pytest.mark.slow("a portal counts as unreachable after several failed calls")
def test_an_unreachable_portal_is_reported_until_it_answers(
    system: System, leadline: Leadline
) -> None:
    portal.add_fault(system, "drop_before", "batch")
    user = system.create()
    eventually(
        lambda: "unreachable" in portal_health(system).get("reason", ""), 120, "healthz shows it"
    )
    status = json.loads(leadline("status", "--json").stdout)["portal"]
    assert (status["paused"], status["reachable"]) == (False, False)
    assert status["unreachable_kind"] == "no answer"
    portal.clear_faults(system)
    eventually(
        lambda: portal_health(system) == {"status": "ok"}, 120, "healthz reports it reachable"
    )
    system.await_synced(user["id"], within_s=120)


def test_simple_crm_mode_pauses_calls_until_it_ends(system: System) -> None:
    user = system.create()
    system.await_synced(user["id"])
    system.control("PUT", "settings", {"crm_mode": "simple", "simple_mode_leads": "gone"})
    portal.call(system, "crm.lead.delete", id=portal.lead_of(system, user["id"])["ID"])
    system.request("PATCH", f"/users/{user['id']}", json={"full_name": "Другое Имя"})
    eventually(
        lambda: "simple CRM mode" in portal_health(system).get("reason", ""), 120, "it is detected"
    )
    assert portal.leads_of(system, user["id"]) == []
    system.control("PUT", "settings", {"crm_mode": "classic"})
    eventually(lambda: portal_health(system) == {"status": "ok"}, 120, "it resumes")
    system.await_synced(user["id"], within_s=120)
    assert portal.lead_of(system, user["id"])["TITLE"] == "Другое Имя"

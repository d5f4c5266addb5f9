"""The scripted faults of the emulator."""

import time
from typing import Any

import pytest
import requests

from tests.emulator.emulator_process import Emulator
from tests.servers import eventually

BATCH = {"cmd": {f"c{number}": f"crm.lead.add?fields[ORIGIN_ID]={number}" for number in range(5)}}


def is_dropped(emulator: Emulator, method: str, params: object = None) -> bool:
    try:
        emulator.post(method, params)
    except requests.ConnectionError:
        return True
    return False


def wait_for_leads(emulator: Emulator, count: int) -> None:
    eventually(lambda: len(emulator.leads()) >= count, 60, f"there are {count} leads")


@pytest.mark.parametrize("name", ["crm.lead.add", "*"])
def test_a_lost_answer_does_not_undo_the_write(emulator: Emulator, name: str) -> None:
    emulator.fault(name, "drop_after", count=1)
    assert is_dropped(emulator, "crm.lead.add")
    assert len(emulator.leads()) == 1
    assert emulator.add() == 2


def test_a_lost_request_writes_nothing(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "drop_before", count=1)
    assert is_dropped(emulator, "crm.lead.add")
    assert emulator.leads() == []
    assert emulator.calls()["commands"] == 0


def test_a_write_may_be_committed_after_the_client_has_gone(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "late_commit", delay_ms=3_600_000, count=1)
    assert is_dropped(emulator, "crm.lead.add")
    assert emulator.leads() == []
    emulator.set(speed=100_000)
    wait_for_leads(emulator, 1)
    assert emulator.control("GET", "totals")["late_commits"] == 1


def test_a_client_that_leaves_does_not_stop_its_request(emulator: Emulator) -> None:
    """The real portal, PHP behind nginx, does the same."""
    emulator.set(command_ms=50_000)
    emulator.abandon("crm.lead.add")
    assert emulator.leads() == []
    emulator.set(speed=1000)
    wait_for_leads(emulator, 1)


def test_a_silent_late_commit_leaves_the_client_waiting(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "late_commit", delay_ms=3_600_000, silent=True)
    with pytest.raises(requests.ReadTimeout):
        emulator.post("crm.lead.add", timeout=1)
    assert emulator.leads() == []
    emulator.set(speed=100_000)
    wait_for_leads(emulator, 1)


@pytest.mark.parametrize(("rule", "status"), [({}, 502), ({"status": 504}, 504)])
def test_the_gateway_may_answer_with_html(
    emulator: Emulator, rule: dict[str, Any], status: int
) -> None:
    """Nothing is executed, unless the rule says so."""
    emulator.fault("*", "html_502", count=1, **rule)
    emulator.fault("*", "html_502", execute=True)
    response = emulator.post("crm.lead.add")
    assert (response.status_code, response.text[:6]) == (status, "<html>")
    assert emulator.leads() == []
    assert emulator.post("crm.lead.add").status_code == 502
    assert len(emulator.leads()) == 1


def test_an_answer_may_be_truncated(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "truncate")
    response = emulator.post("crm.lead.add")
    assert response.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    assert len(emulator.leads()) == 1


def test_an_error_may_come_with_200(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "error_200", code="ACCESS_DENIED", description="No")
    response = emulator.post("crm.lead.add")
    assert response.status_code == 200
    assert response.json() == {"error": "ACCESS_DENIED", "error_description": "No"}
    assert emulator.leads() == []


def test_a_renamed_portal_redirects(emulator: Emulator) -> None:
    """A client that follows the redirect sends an empty GET, which is refused."""
    emulator.fault("crm.lead.add", "redirect", count=1)
    response = emulator.post("crm.lead.add", {"fields": {"NAME": "Gleb"}})
    assert response.status_code == 302
    assert response.headers["Location"] == emulator.webhook.replace("127.0.0.1", "localhost") + (
        "crm.lead.add"
    )
    emulator.fault("crm.lead.add", "redirect", count=1, location=emulator.webhook + "crm.lead.add")
    emulator.session.post(
        emulator.webhook + "crm.lead.add", json={"fields": {"NAME": "Gleb"}}, timeout=60
    )
    assert emulator.control("GET", "totals")["verbs"] == {"POST": 2, "GET": 1}
    assert [lead["NAME"] for lead in emulator.leads()] == [None]


def test_latency_may_be_fixed_or_exponential(emulator: Emulator) -> None:
    emulator.set(command_ms=1000, speed=1000)
    cmd = {"cmd": {f"c{number}": "profile" for number in range(30)}}
    fixed = emulator.call("batch", cmd)["result"]["result_time"]
    assert fixed["c29"]["operating"] == 30
    emulator.set(latency="exponential", seed=1, operating_floor_s=0)
    emulator.call("batch", {"cmd": {f"c{number}": "scope" for number in range(30)}})
    costs = emulator.control("GET", "rate")["operating"]
    assert costs["local-webhook-code profile"] == 30
    assert costs["local-webhook-code scope"] != 30
    assert 10 < costs["local-webhook-code scope"] < 60


@pytest.mark.parametrize(("after", "leads_left"), [(2, 2), (None, 5), (0, 0)])
def test_a_batch_may_be_dropped_after_some_of_its_commands(
    emulator: Emulator, after: int | None, leads_left: int
) -> None:
    emulator.fault("batch", "drop_after", after_commands=after, count=1)
    assert is_dropped(emulator, "batch", BATCH)
    assert [lead["ORIGIN_ID"] for lead in emulator.leads()] == [
        str(number) for number in range(leads_left)
    ]


@pytest.mark.parametrize("name", ["crm.lead.add", "crm.item.add"])
@pytest.mark.parametrize("action", ["error", "error_200"])
def test_an_error_affects_one_command_of_a_batch(
    emulator: Emulator, name: str, action: str
) -> None:
    """A rule on a command becomes that command's result_error; nothing of it is executed."""
    emulator.fault(name, action, code="ACCESS_DENIED", description="No", skip=1, count=1)
    result = emulator.result("batch", BATCH)
    assert result["result_error"] == {"c1": {"error": "ACCESS_DENIED", "error_description": "No"}}
    assert [lead["ORIGIN_ID"] for lead in emulator.leads()] == ["0", "2", "3", "4"]


@pytest.mark.parametrize(("action", "leads_left"), [("drop_after", 5), ("drop_before", 0)])
def test_a_drop_of_a_command_drops_its_batch(
    emulator: Emulator, action: str, leads_left: int
) -> None:
    """A rule that drops a command breaks the connection of the whole batch, once."""
    emulator.fault("crm.item.add", action, count=1)
    assert is_dropped(emulator, "batch", BATCH)
    assert len(emulator.leads()) == leads_left
    assert emulator.control("GET", "faults")[0]["bitten"] == 1


@pytest.mark.parametrize("name", ["crm.lead.add", "crm.item.add"])
def test_a_fault_rule_on_one_api_affects_the_other_api(emulator: Emulator, name: str) -> None:
    """Both names are one operation on the same leads."""
    emulator.fault(name, "error", status=500)
    assert emulator.post("crm.lead.add").status_code == 500
    response = emulator.post("crm.item.add", {"entityTypeId": 1, "fields": {}})
    assert response.status_code == 500
    cmd = {"a": "crm.item.add?entityTypeId=1&fields[name]=x"}
    assert list(emulator.batch(cmd)["result_error"]) == ["a"]
    assert emulator.leads() == []


def test_an_error_on_everything_refuses_every_request(emulator: Emulator) -> None:
    """`*` matches each HTTP request once."""
    emulator.fault("*", "error")
    for method in ("crm.lead.add", "batch", "profile"):
        response = emulator.post(method, BATCH)
        assert response.status_code == 500
        assert response.json() == {
            "error": "INTERNAL_SERVER_ERROR",
            "error_description": "Internal server error",
        }
    calls = emulator.calls()
    assert (calls["requests"], calls["commands"], calls["methods"]) == (3, 0, {})
    assert emulator.control("GET", "faults")[0]["bitten"] == 3


def test_a_delay_affects_the_answer_and_not_the_write(emulator: Emulator) -> None:
    emulator.fault("crm.lead.add", "delay", delay_ms=200)
    began = time.monotonic()
    emulator.add()
    assert time.monotonic() - began >= 0.2
    assert emulator.leads()[0]["history"][0]["time"] < time.time() - 0.19


def test_skip_count_and_share_select_the_affected_calls(emulator: Emulator) -> None:
    """The same seed chooses the same calls."""
    emulator.set(rate_per_s=0, seed=7)
    emulator.fault("scope", "error", skip=2, count=1)
    assert [emulator.post("scope").status_code for _ in range(5)] == [200, 200, 500, 200, 200]
    emulator.fault("profile", "error", share=0.3)
    first = [emulator.post("profile").status_code for _ in range(100)]
    emulator.set(seed=7)
    assert [emulator.post("profile").status_code for _ in range(100)] == first
    assert 15 < first.count(500) < 45


def test_a_share_counts_requests_not_their_commands(emulator: Emulator) -> None:
    """5 % of the answers lost means 5 % of the batches, however many commands they contain."""
    emulator.set(rate_per_s=0)
    emulator.fault("crm.lead.add", "html_502", share=0.05)
    batch = {"cmd": {f"c{number}": "crm.lead.add" for number in range(50)}}
    lost = sum(emulator.post("batch", batch).status_code == 502 for _ in range(100))
    assert 0 < lost < 15


def test_cleared_faults_have_no_effect(emulator: Emulator) -> None:
    emulator.fault("*", "error")
    assert emulator.control("DELETE", "faults") == []
    assert emulator.add() == 1


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"method": "*"},
        {"method": "*", "action": "explode"},
        {"method": 7, "action": "error"},
        {"method": "*", "action": "error", "share": 2},
        {"method": "*", "action": "error", "bitten": 2},
        {"method": "*", "action": "error", "count": -1},
        "error",
    ],
    ids=str,
)
def test_a_bad_rule_is_422_and_adds_none(emulator: Emulator, rule: object) -> None:
    """The message names the rule and the problem."""
    good = {"method": "*", "action": "error"}
    url = emulator.base + "/_emulator/faults"
    response = emulator.session.post(url, json=[good, rule], timeout=60)
    assert response.status_code == 422
    assert response.json()["error"].startswith("rule 1: ")
    assert emulator.control("GET", "faults") == []

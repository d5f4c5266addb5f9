"""The verdict on the sync's health, which the console and `leadline status` show at the top."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from leadline.bitrix24 import leads
from leadline.bitrix24.client import Timing
from leadline.ledger import write
from leadline.process import fresh
from leadline.runtime.http import api_keys
from leadline.users.model import NewUser
from leadline.workqueue.portal_state import operating_budget, worker_heartbeats
from tests.integration.conftest import CommandOutput, execute, function_client

Leadline = Callable[..., CommandOutput]
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
OPS, OPS_ENTRY = api_keys.create("ops.anna", frozenset({"read", "operate"}), days=None)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")


def status() -> Any:
    """The console's status, from a process that has just started."""
    with fresh():
        answer = function_client("console").get("/console/api/status")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def record_worker_heartbeat() -> None:
    worker_heartbeats().beat("worker", site="https://example.bitrix24.com")


@pytest.mark.usefixtures("in_redis")
def test_without_postgres_the_verdict_is_stopped_and_the_rest_is_still_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    record_worker_heartbeat()
    found = status()
    assert (found["verdict"]["state"], found["verdict"]["reason"]) == ("stopped", "postgres_down")
    assert found["verdict"]["since"]
    assert found["ledger"]["error"]
    assert found["forecast"] is None
    assert found["work"]["worker_seen_s_ago"] < 10


@pytest.mark.usefixtures("in_postgres")
def test_without_redis_the_verdict_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    found = status()
    assert (found["verdict"]["state"], found["verdict"]["reason"]) == ("stopped", "redis_down")
    assert found["ledger"]["users"] == 0


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_without_rabbitmq_the_verdict_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    record_worker_heartbeat()
    assert status()["verdict"]["reason"] == "rabbitmq_down"


@pytest.mark.usefixtures("in_postgres", "in_redis", "in_rabbitmq")
def test_without_a_worker_or_a_connector_the_verdict_is_stopped() -> None:
    found = status()["verdict"]
    assert (found["state"], found["reason"]) == ("stopped", "no_worker_ever")
    record_worker_heartbeat()
    found = status()["verdict"]
    assert (found["state"], found["reason"]) == ("stopped", "no_connector")


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_the_verdict_shows_a_used_up_budget_and_when_it_frees() -> None:
    record_worker_heartbeat()
    assert status()["verdict"]["state"] == "healthy"
    write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None)
    reserved = operating_budget().reserve(Counter({leads.ADD: 1}))
    timing = Timing(commands=1, seconds=2.0, used_s=469.5, reset_in_s=90.0)
    operating_budget().record(reserved, {leads.ADD: timing}, spent_s=2.0)
    found = status()
    assert (found["verdict"]["state"], found["verdict"]["reason"]) == ("slowed", "operating_budget")
    values = found["verdict"]["values"]
    assert (values["method"], values["used"], values["limit"]) == (leads.ADD, 470, 480)
    assert values["at"] > found["now"]
    assert found["budget"]["methods"][leads.ADD]["is_used_up"]


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_the_verdict_names_the_operator_who_paused_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "on")
    monkeypatch.setenv("API_KEYS", OPS_ENTRY)
    record_worker_heartbeat()
    by_ops = {"Authorization": f"Bearer {OPS}"}
    answer = function_client("console").post(
        "/console/api/pause", json={"reason": "leads are imported"}, headers=by_ops
    )
    assert answer.status_code == 200
    with fresh():
        verdict = (
            function_client("console")
            .get("/console/api/status", headers=by_ops)
            .get_json()["verdict"]
        )
    assert verdict["reason"] == "manual_hold"
    assert "ops.anna" in verdict["sentence"]
    assert "leads are imported" in verdict["sentence"]


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_the_command_status_begins_with_the_consoles_sentence(leadline: Leadline) -> None:
    record_worker_heartbeat()
    sentence = status()["verdict"]["sentence"]
    output = leadline("status")
    assert f"healthy: {sentence}" in output.out.decode().splitlines()[0]
    assert leadline("status", "--json").json["verdict"]["sentence"] == sentence


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_the_status_shows_the_portals_site_and_nothing_else_of_the_webhook() -> None:
    record_worker_heartbeat()
    assert status()["portal"]["site"] == "https://example.bitrix24.com"


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_the_forecast_uses_the_measured_rates() -> None:
    record_worker_heartbeat()
    for _ in range(4):
        write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None)
    execute(
        "UPDATE events SET state = 'synced', attempts = 1, due_at = NULL,"
        " settled_at = now() - interval '2 minutes' WHERE user_id <= 2"
    )
    found = status()
    assert found["ledger"]["waiting"] == 4
    forecast = found["forecast"]
    assert forecast["settled_per_min"] == 2 / 5, "of the last five minutes"
    assert forecast["accepted_per_min"] == 4 / 5
    assert found["forecast"]["outlook"] == "growing"

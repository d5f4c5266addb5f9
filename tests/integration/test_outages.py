"""While the portal is down it is probed within its limits, and operators see the reason."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.errors import PortalDown
from leadline.runtime.redis import client
from leadline.sync import job, portal_session, stage_sync
from leadline.workqueue import keys, reachability
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.queue import work_queue
from local.gateway import checks
from tests.integration.conftest import Control
from tests.integration.test_calls import put
from tests.integration.test_crm_mode import run_timer_once
from tests.servers import eventually


@pytest.fixture(autouse=True)
def connected(
    in_redis: str, amqp_url: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_redis
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the grace time: a single failed request counts as an outage."""
    monkeypatch.setattr(reachability, "GRACE_S", 0.0)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> None:
    """Set a webhook whose host refuses connections."""
    url = f"http://127.0.0.1:{free_port()}/rest/1/hidden-code/"
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", url)


def healthz_status(redis_url: str) -> str:
    """What /healthz of the edge says about the portal, from the state in this Redis."""
    try:
        checks.check_portal(redis_url)
    except checks.CheckFailed as error:
        return str(error)
    return "ok"


def test_workers_with_different_clocks_do_not_probe_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.2, 30))
    portal_session.circuit_breaker().open(PortalDown("the plan has expired"))
    time.sleep(0.3)  # the first probe is due, and the next one half a minute later
    workers = [CircuitBreaker(client(), keys.prefix("main")) for _ in range(8)]

    def claim(number: int) -> bool:
        return workers[number % 8].claim_probe()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(64))) == 1
    ahead = time.time() + 30
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert not any(claim(number) for number in range(8))


def test_a_redis_clock_that_was_set_back_does_not_prolong_a_pause() -> None:
    portal_session.circuit_breaker().open(PortalDown("the plan has expired"))
    assert not portal_session.circuit_breaker().claim_probe()
    client().hset(f"{work_queue().prefix}paused", "next_probe_at", time.time() + 3600)
    assert portal_session.circuit_breaker().claim_probe()


@pytest.mark.parametrize("mode", ["revoked", "plan_expired"])
def test_probes_and_reads_of_stages_take_a_token_too(
    control: Control, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.1, 0.1))
    stage_sync.read_portal_stages()
    control("settings", "PUT", {"mode": mode})
    for user_id in range(1, 21):
        put(user_id)
    with pytest.raises(PortalDown):
        job.call_bitrix24("main")
    before = control("calls")["requests"]

    def has_been_probed() -> bool:
        job.call_bitrix24("main")
        return bool(control("calls")["requests"] >= before + 5)

    eventually(has_been_probed, 60, "the portal is probed")
    assert sum(portal_session.token_bucket().requests_per_slot()) == control("calls")["requests"]


def test_a_probe_waits_for_its_token(control: Control) -> None:
    portal_session.circuit_breaker().open(PortalDown("the plan has expired"))
    wait_s = 0.0
    while not wait_s:  # until all tokens are taken
        began = time.monotonic()
        wait_s = portal_session.token_bucket().reserve()
    assert portal_session.probe()
    assert time.monotonic() - began > wait_s
    assert control("calls")["requests"] == 1


@pytest.mark.usefixtures("nowhere", "no_grace")
def test_a_portal_that_refuses_connections_is_reported_as_unreachable(in_redis: str) -> None:
    put(1)
    with pytest.raises(Exception, match="Bitrix24"):
        job.call_bitrix24("main")
    found = portal_session.reachability().outage()
    assert found is not None
    assert found.code == reachability.NO_CONNECTION
    assert "unreachable" in healthz_status(in_redis)
    assert reachability.NO_CONNECTION in healthz_status(in_redis)


@pytest.mark.usefixtures("nowhere")
def test_one_lost_answer_does_not_make_a_portal_unreachable() -> None:
    assert not portal_session.probe()
    assert portal_session.reachability().outage() is None


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("drop_after", reachability.NO_ANSWER),
        ("html_502", reachability.NO_ANSWER),
        ("truncate", reachability.NO_ANSWER),
        ("error", reachability.SERVER_ERRORS),
    ],
)
def test_the_kind_of_outage_is_recorded_and_ends_with_the_next_answer(
    control: Control, in_redis: str, action: str, kind: str
) -> None:
    secret = "of a person"  # noqa: S105 - of a test
    rule = {"method": "batch", "action": action, "count": 2, "status": 500, "description": secret}
    if action != "error":
        rule["status"] = None
    control("faults", "POST", [rule])
    assert not portal_session.probe()
    found = portal_session.reachability().outage()
    assert found is not None
    assert found.code == kind
    assert secret not in healthz_status(in_redis)
    assert not portal_session.probe()
    later_state = portal_session.reachability().outage()
    assert later_state is not None
    assert later_state.since == found.since, "the outage began with the first failure"
    assert portal_session.probe()
    assert portal_session.reachability().outage() is None
    assert healthz_status(in_redis) == "ok"


@pytest.mark.usefixtures("no_grace")
def test_an_answer_to_any_worker_ends_the_outage_for_all(
    webhook_url: str, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", f"http://127.0.0.1:{free_port()}/rest/1/hidden/")
    assert not portal_session.probe()
    assert portal_session.reachability().outage()
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    put(1)
    job.call_bitrix24("main")
    assert portal_session.reachability().outage() is None


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("webhook", ["see the vault", "http://", "https://a/rest/1/", ""])
def test_an_invalid_webhook_is_reported_and_nothing_is_leased_until_it_is_fixed(
    webhook: str, webhook_url: str, in_redis: str, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook)
    put(1)
    run_timer_once()
    assert job.call_bitrix24("main") == 0
    assert work_queue().depth().due == 1
    assert reachability.CONFIGURATION in healthz_status(in_redis)
    if webhook:  # the empty text is part of any other
        assert webhook not in healthz_status(in_redis)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    run_timer_once()
    job.call_bitrix24("main")
    assert healthz_status(in_redis) == "ok"
    assert len(control("leads")) == 1


@pytest.mark.usefixtures("no_grace")
def test_a_portal_that_recovers_is_detected_even_if_no_user_is_due(
    control: Control, in_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.1, 0.1))
    control("faults", "POST", [{"method": "batch", "action": "drop_after", "count": 2}])
    assert not portal_session.probe()
    assert healthz_status(in_redis) != "ok"
    eventually(
        lambda: run_timer_once() and healthz_status(in_redis) == "ok", 60, "the recovery is noticed"
    )


def test_healthz_quotes_nothing_that_the_portal_or_an_operator_wrote(in_redis: str) -> None:
    portal_session.circuit_breaker().open(
        PortalDown("secret words of the portal", code="secret code")
    )
    assert re.fullmatch(r"paused for \d+ s: Bitrix24 rejects all calls", healthz_status(in_redis))
    portal_session.circuit_breaker().hold("secret words of an operator")
    assert re.fullmatch(r"paused for \d+ s: by an operator", healthz_status(in_redis))


def test_a_manual_hold_is_not_probed(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.1, 0.1))
    control("faults", "POST", [{"method": "batch", "action": "drop_after", "count": 1}])
    assert not portal_session.probe()
    portal_session.circuit_breaker().hold(reason="")
    time.sleep(0.3)  # longer than both steps: a probe of an outage would be due
    put(1)
    for _ in range(3):
        run_timer_once()
        job.call_bitrix24("main")
    assert control("calls")["requests"] == 1

"""A portal in simple CRM mode turns leads into deals: it is detected, and nothing is duplicated."""

from collections.abc import Iterator

import pytest

from leadline.bitrix24.crm_mode import SIMPLE_MODE
from leadline.errors import PortalDown
from leadline.sync import job, portal_session, stage_sync, wake_timer
from leadline.workqueue import rq_jobs
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import Control
from tests.integration.test_calls import call_until_idle, put
from tests.servers import eventually


@pytest.fixture(autouse=True)
def connected(
    in_redis: str, amqp_url: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_redis
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.1, 0.1))


@pytest.fixture(params=["converted", "gone"])
def simple_mode(request: pytest.FixtureRequest, control: Control) -> Iterator[None]:
    """Switch the portal to simple mode; the parameters choose what becomes of new leads."""
    control("settings", "PUT", {"crm_mode": "simple", "simple_mode_leads": request.param})
    yield
    control("settings", "PUT", {"crm_mode": "classic"})


def created_count(control: Control) -> int:
    """How many calls that create an item has the portal got?"""
    return int(control("calls")["methods"].get("crm.item.add", 0))


def is_paused_for_simple_mode() -> bool:
    pause = portal_session.circuit_breaker().restore_and_read()
    return pause is not None and pause.code == SIMPLE_MODE


def run_jobs() -> None:
    """Run all enqueued jobs, as RQ's workers would."""
    while jobs_left := rq_jobs.rq_queue().jobs:
        for rq_job in jobs_left:
            rq_jobs.rq_queue().remove(rq_job)
            rq_job.perform()


def run_timer_once() -> bool:
    """One round of the wake timer and the jobs that it enqueues; returns whether calls are
    allowed.
    """
    wake_timer.wake_if_due()
    run_jobs()
    return portal_session.circuit_breaker().restore_and_read() is None


def test_five_versions_of_a_user_create_one_lead_even_if_the_mode_was_unknown(
    control: Control,
) -> None:
    control("settings", "PUT", {"crm_mode": "simple", "simple_mode_leads": "gone"})
    for version in range(1, 6):
        put(1, version, full_name=f"Name {version}")
        for _ in range(3):
            job.call_bitrix24("main")
    # An update that found no lead is retried after two seconds, when the mode is known.
    eventually(
        lambda: not job.call_bitrix24("main") and is_paused_for_simple_mode(),
        60,
        "calls are paused",
    )
    eventually(lambda: work_queue().depth().due, 60, "the update is due again")
    assert job.call_bitrix24("main") == 0
    assert created_count(control) == 1


@pytest.mark.usefixtures("simple_mode")
def test_a_worker_detects_simple_mode_before_its_first_call(control: Control) -> None:
    put(1)
    run_timer_once()
    assert is_paused_for_simple_mode()
    assert created_count(control) == 0
    assert work_queue().depth().due == 1, "the user waits, and no attempt is spent"


@pytest.mark.usefixtures("simple_mode")
def test_reading_the_stages_detects_simple_mode() -> None:
    stage_sync.read_portal_stages()
    assert is_paused_for_simple_mode()


@pytest.mark.usefixtures("simple_mode")
def test_a_probe_that_finds_simple_mode_keeps_calls_paused(control: Control) -> None:
    portal_session.circuit_breaker().open(PortalDown("the plan has expired", code="ACCESS_DENIED"))
    put(1)
    eventually(
        lambda: portal_session.probe_if_due() or is_paused_for_simple_mode(),
        60,
        "the portal is probed",
    )
    assert is_paused_for_simple_mode(), "the newest reason is shown"
    assert job.call_bitrix24("main") == 0
    assert created_count(control) == 0


def test_calls_resume_once_the_mode_is_classic_even_if_no_user_is_due(
    control: Control,
) -> None:
    control("settings", "PUT", {"crm_mode": "simple"})
    stage_sync.read_portal_stages()
    run_timer_once()
    assert is_paused_for_simple_mode()
    control("settings", "PUT", {"crm_mode": "classic"})
    eventually(run_timer_once, 60, "calls resume")
    put(1)
    call_until_idle()
    assert created_count(control) == 1


@pytest.mark.usefixtures("simple_mode")
def test_resuming_by_hand_creates_no_leads_in_simple_mode(control: Control) -> None:
    stage_sync.read_portal_stages()
    put(1)
    portal_session.circuit_breaker().resume()
    assert job.call_bitrix24("main") == 0
    assert is_paused_for_simple_mode()
    assert created_count(control) == 0


@pytest.mark.parametrize(
    "code",
    ["ERROR_METHOD_NOT_FOUND", "ACCESS_DENIED", "insufficient_scope", "INTERNAL_SERVER_ERROR"],
)
def test_a_portal_that_does_not_report_its_mode_is_called(control: Control, code: str) -> None:
    rule = {"method": "crm.settings.mode.get", "action": "error", "code": code, "status": 400}
    control("faults", "POST", [rule])
    put(1)
    run_timer_once()
    assert stage_sync.read_portal_stages()
    job.call_bitrix24("main")
    assert portal_session.circuit_breaker().restore_and_read() is None
    assert created_count(control) == 1


def test_the_mode_is_read_once_an_hour_and_not_by_each_worker(control: Control) -> None:
    for _ in range(5):
        run_timer_once()
    assert control("calls")["methods"]["crm.settings.mode.get"] == 1

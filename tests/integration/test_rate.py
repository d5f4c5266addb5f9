"""The portal's request rate holds for all who call it, whatever for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from leadline.bitrix24 import leads
from leadline.messages import topology
from leadline.messages.cloudevents import Delivery
from leadline.settings import settings
from leadline.sync import enqueue, job, portal_session, stage_sync
from leadline.sync.reconcile import throttled_reads

WithRate = Callable[[float], None]


def work() -> None:
    """One user's lead is created."""
    user = {"id": 7, "full_name": "Ann", "phone": "+77001112233", "stage": "NEW"}
    about = {"version": 1, "occurred_at": datetime.now(UTC).isoformat()}
    data = {"action": "create_card", "user": user, "replyQueue": topology.REPLIES, **about}
    enqueue.enqueue_events([Delivery(data, "m", {})])
    assert job.call_bitrix24("main") == 1


def read_stages() -> None:
    assert stage_sync.read_portal_stages()


def read_leads() -> None:
    """As the reconciler does."""
    throttled_reads.read_all(
        {"a": leads.list_by_ids([1]), "b": leads.list_by_origins([1], "leadline")}
    )


def probe() -> None:
    assert portal_session.probe()


every_caller = pytest.mark.parametrize(
    "call",
    [work, read_stages, read_leads, probe],
    ids=["worker", "stages", "reading", "probe"],
)


@pytest.fixture(autouse=True)
def connected(
    in_redis: str, in_rabbitmq: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_redis
    assert in_rabbitmq
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setattr("leadline.sync.batching.SCARCE_LINGER_S", 0.0)


@pytest.fixture
def with_rate(monkeypatch: pytest.MonkeyPatch) -> WithRate:
    """Start with this rate."""

    def set_rate(rate_per_s: float) -> None:
        monkeypatch.setenv("LEADLINE_RATE_PER_S", str(rate_per_s))
        settings.cache_clear()

    return set_rate


@pytest.fixture
def sent(portal: str) -> Callable[[], int]:
    """How many requests have reached the portal."""

    def count() -> int:
        calls = requests.get(f"{portal}/_emulator/calls", timeout=10).json()
        return int(calls["requests"])

    return count


def taken() -> int:
    """Tokens taken so far, without those that were given back."""
    return sum(portal_session.token_bucket().requests_per_slot())


@every_caller
def test_each_request_takes_a_token(
    call: Callable[[], None], sent: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    before = taken()
    call()
    assert sent() == 1
    assert taken() - before == 1


@every_caller
def test_no_request_leaves_before_its_token_is_there(
    call: Callable[[], None], sent: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(10)
    while (wait_s := portal_session.token_bucket().reserve()) < 0.5:
        pass  # others have taken what there was
    began = time.monotonic()
    call()
    assert time.monotonic() - began > wait_s
    assert sent() == 1


def test_a_job_that_finds_nothing_to_do_costs_no_token(
    sent: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    before = taken()
    assert job.call_bitrix24("main") == 0
    assert sent() == 0
    assert taken() == before

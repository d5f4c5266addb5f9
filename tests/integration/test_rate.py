"""The portal's request rate limits requests of every purpose."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from leadline import process
from leadline.bitrix24 import leads
from leadline.messages import topology
from leadline.messages.cloudevents import Delivery
from leadline.settings import settings
from leadline.sync import batching, enqueue, job, portal_session, stage_sync
from leadline.sync.reconcile import throttled_reads

WithRate = Callable[[float], None]


def put(user_id: int = 7) -> None:
    """Put a new user, who is due at once."""
    user = {"id": user_id, "full_name": "Ann", "phone": "+77001112233", "stage": "NEW"}
    fields = {"version": 1, "occurred_at": datetime.now(UTC).isoformat()}
    data = {"action": "create_card", "user": user, "replyQueue": topology.REPLIES, **fields}
    enqueue.enqueue_events([Delivery(data, "m", {})])


def create_lead() -> None:
    """Run a job that creates one user's lead."""
    put()
    assert job.call_bitrix24("main") == 1


def read_stages() -> None:
    assert stage_sync.read_portal_stages()


def read_leads() -> None:
    """Read leads as reconcile does."""
    throttled_reads.read_all(
        {"a": leads.list_by_ids([1]), "b": leads.list_by_origins([1], "leadline")}
    )


def probe() -> None:
    assert portal_session.probe()


every_caller = pytest.mark.parametrize(
    "call",
    [create_lead, read_stages, read_leads, probe],
    ids=["worker", "stages", "reading", "probe"],
)


@pytest.fixture(autouse=True)
def connected(
    in_redis: str, in_rabbitmq: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_redis
    assert in_rabbitmq
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)


@pytest.fixture
def with_rate(monkeypatch: pytest.MonkeyPatch) -> WithRate:
    """Sets the rate of requests."""

    def set_rate(rate_per_s: float) -> None:
        monkeypatch.setenv("LEADLINE_RATE_PER_S", str(rate_per_s))
        process.forget(settings)

    return set_rate


@pytest.fixture
def count_requests(portal: str) -> Callable[[], int]:
    """Counts the requests that have reached the portal."""

    def count() -> int:
        calls = requests.get(f"{portal}/_emulator/calls", timeout=60).json()
        return int(calls["requests"])

    return count


def taken_tokens() -> int:
    """Tokens taken so far, without returned ones."""
    return sum(portal_session.token_bucket().requests_per_slot())


@every_caller
def test_each_request_takes_a_token(
    call: Callable[[], None], count_requests: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    before = taken_tokens()
    call()
    assert count_requests() == 1
    assert taken_tokens() - before == 1


@every_caller
def test_no_request_is_sent_before_its_token(
    call: Callable[[], None], count_requests: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(10)
    wait_s = 0.0
    while wait_s < 0.5:  # until other callers have taken all tokens
        began = time.monotonic()
        wait_s = portal_session.token_bucket().reserve()
    call()
    assert time.monotonic() - began > wait_s
    assert count_requests() == 1


def test_a_job_without_due_users_takes_no_token(
    count_requests: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    before = taken_tokens()
    assert job.call_bitrix24("main") == 0
    assert count_requests() == 0
    assert taken_tokens() == before


def _spend_all_but_one() -> None:
    """Take all tokens of the bucket and return one."""
    bucket = portal_session.token_bucket()
    while bucket.reserve() == 0:
        pass
    bucket.give_back()  # the one that was taken in advance
    bucket.give_back()
    assert bucket.level() < 0.05  # a share of the burst: at most two tokens of 50


def test_a_lone_user_does_not_wait_for_others_however_scarce_tokens_are(
    monkeypatch: pytest.MonkeyPatch, with_rate: WithRate
) -> None:
    """After a long drain the bucket is nearly empty, and no other user is due."""
    monkeypatch.setattr(batching, "LINGER_S", 3600)
    with_rate(0.001)
    for user_id in (7, 8):
        _spend_all_but_one()
        put(user_id)
        assert job.call_bitrix24("main") == 1


def test_users_that_arrive_while_several_are_due_share_their_call(
    monkeypatch: pytest.MonkeyPatch, count_requests: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    others = iter((9, 10))
    # The default: user 10 again, as often as the job sleeps.
    monkeypatch.setattr("leadline.sync.batching.time.sleep", lambda _s: put(next(others, 10)))
    put(7)
    put(8)
    assert job.call_bitrix24("main") == 4
    assert count_requests() == 1


def test_after_a_call_for_several_the_next_one_waits_for_others(
    monkeypatch: pytest.MonkeyPatch, count_requests: Callable[[], int], with_rate: WithRate
) -> None:
    with_rate(50)
    # However slowly this test runs, the call for several has just been made.
    monkeypatch.setattr("leadline.workqueue.queue.RECENT_MS", 60_000)
    put(7)
    put(8)
    assert job.call_bitrix24("main") == 2
    monkeypatch.setattr("leadline.sync.batching.time.sleep", lambda _s: put(10))
    put(9)
    assert job.call_bitrix24("main") == 2
    assert count_requests() == 2

"""The portal's execution time, shared by all workers, in a real Redis."""

from collections import Counter
from collections.abc import Iterator

import pytest
import redis

from leadline import process
from leadline.bitrix24.client import Timing
from leadline.bitrix24.operating_budget import (
    BATCH,
    LOST_MARGIN_S,
    PROBE_COMMANDS,
    OperatingBudget,
)
from leadline.settings import settings
from leadline.workqueue import portal_state
from leadline.workqueue.queue import WorkQueue, work_queue

LIMIT_S = 480.0
METHOD = "crm.item.add"


@pytest.fixture
def budget(redis_url: str) -> Iterator[OperatingBudget]:
    with redis.Redis.from_url(redis_url) as client:
        queue = WorkQueue(client, "test")
        queue.begin_first_epoch()
        yield OperatingBudget(client, queue.prefix, limit_s=LIMIT_S, lease_s=queue.lease_ms / 1000)


def record_answer(budget: OperatingBudget, used_s: float) -> None:
    """Record an answer: the method has used this much, one second for each command."""
    reserved = budget.reserve(Counter({METHOD: 10}))
    timing = Timing(commands=10, seconds=10, used_s=used_s, reset_in_s=600)
    budget.record(reserved, {METHOD: timing}, spent_s=10)


def allowed_commands(budget: OperatingBudget, commands: int = 50) -> int:
    return budget.reserve(Counter({METHOD: commands})).allowed[METHOD]


@pytest.mark.parametrize("used_s", [1, 440, 455.5, 460, 471, 479, 480, 600])
def test_a_method_is_used_up_to_its_limit_and_never_beyond(
    budget: OperatingBudget, used_s: float
) -> None:
    record_answer(budget, used_s)
    commands = allowed_commands(budget)  # of one second each
    assert used_s + commands <= max(LIMIT_S, used_s)
    if commands < 50:
        assert used_s + commands + 1 > 0.95 * LIMIT_S, "one more would have fitted"


def test_reservations_of_other_workers_count(budget: OperatingBudget) -> None:
    record_answer(budget, LIMIT_S - 60)
    assert allowed_commands(budget, 30) == 30
    assert 10 <= allowed_commands(budget, 50) <= 30
    assert allowed_commands(budget, 50) == 0


def test_an_unused_reservation_is_returned(budget: OperatingBudget) -> None:
    record_answer(budget, LIMIT_S - 60)
    reserved = budget.reserve(Counter({METHOD: 40}))
    assert allowed_commands(budget, 40) < 40
    budget.record(reserved, {}, spent_s=0)
    budget.record(reserved, {}, spent_s=0)  # returns nothing twice
    assert allowed_commands(budget, 40) == 40


@pytest.mark.usefixtures("in_redis")
def test_a_reservation_counts_until_the_lease_of_its_worker_has_ended(
    monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("LEADLINE_REQUEST_LIMIT_S", "3600")
    process.forget(settings)
    budget = portal_state.operating_budget()
    lease_s = work_queue().lease_ms / 1000
    record_answer(budget, LIMIT_S - 60)
    assert allowed_commands(budget, 40) == 40
    # Half a lease of an hour: far more than this test takes, and than the default lease.
    _age_reservations(redis_url, lease_s / 2)
    assert allowed_commands(budget, 40) < 40, "the worker may still be waiting for its answer"
    _age_reservations(redis_url, lease_s + LOST_MARGIN_S)
    assert allowed_commands(budget, 40) == 40, "the worker died"


def _age_reservations(redis_url: str, seconds: float) -> None:
    """Make the last reservation of METHOD older."""
    with redis.Redis.from_url(redis_url) as client:
        client.hincrbyfloat(f"{work_queue().prefix}operating:{METHOD}", "until", -seconds)


@pytest.mark.parametrize(
    ("timings", "allowed"),
    [
        pytest.param({}, range(PROBE_COMMANDS, PROBE_COMMANDS + 1), id="no answer"),
        pytest.param(
            {METHOD: Timing(commands=5, seconds=5, used_s=455, reset_in_s=600)},
            range(1, 17),
            id="455 s used",
        ),
        # A portal that reports no times has no such limit.
        pytest.param(
            {BATCH: Timing(commands=5, seconds=0, used_s=None, reset_in_s=60)},
            range(50, 51),
            id="no times",
        ),
    ],
)
def test_usage_that_redis_lost_is_measured_with_a_few_commands(
    budget: OperatingBudget, redis_url: str, timings: dict[str, Timing], allowed: range
) -> None:
    record_answer(budget, 450)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    reserved = budget.reserve(Counter({METHOD: 50}))
    assert reserved.allowed == {METHOD: PROBE_COMMANDS}
    budget.record(reserved, timings, spent_s=5)
    assert allowed_commands(budget) in allowed

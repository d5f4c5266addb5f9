"""The token bucket on a real Redis: workers, threads and processes never exceed the rate."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.bitrix24.token_bucket import MARGIN, REFUSAL_WAIT_S, TokenBucket
from tests.integration.conftest import in_threads

#: Slow, as a busy machine may take a part of a second between two calls; no one waits for a token.
RATE, BURST = 2.0, 12
CAPACITY = BURST - MARGIN
MANY = """
import sys, time, redis
from leadline.bitrix24.token_bucket import TokenBucket
bucket = TokenBucket(redis.Redis.from_url(sys.argv[1]), "t", rate_per_s=2, burst=12)
until = time.monotonic() + 1
while time.monotonic() < until:
    began = time.time()
    print(began + bucket.reserve())
"""


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def bucket_of(client: redis.Redis, rate: float = RATE) -> TokenBucket:
    """A bucket of a Redis that has been up for longer than a burst takes to fill."""
    bucket = TokenBucket(client, "t", rate_per_s=rate, burst=BURST)
    bucket.level()
    client.hset("tmemory", "born", 1)
    client.delete("ttokens")
    return bucket


def assert_never_exceeded(moments: list[float], slack: int = 1) -> None:
    """Check that no interval contains more calls than the burst and its refill."""
    moments.sort()
    for first in range(len(moments)):
        for last in range(first, len(moments)):
            allowed = CAPACITY + RATE * (moments[last] - moments[first]) + slack
            assert last - first + 1 <= allowed


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    waits = [bucket.reserve() for _ in range(CAPACITY + 5)]
    assert waits[:CAPACITY] == [0] * CAPACITY
    assert all(
        before < after
        for before, after in zip(waits[CAPACITY:], waits[CAPACITY + 1 :], strict=False)
    )
    assert 3 / RATE < waits[-1] <= 5 / RATE


def test_many_threads_never_exceed_the_rate(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    began = time.time()

    def call(_: int) -> list[float]:
        moments = []
        for _ in range(20):
            now = time.time()
            moments.append(now + bucket.reserve())
        return moments

    moments = [moment for part in in_threads(8, call) for moment in part]
    assert len(moments) == 160
    assert_never_exceeded(moments, slack=3)
    # And the rate is used to the full.
    assert max(moments) - began <= (160 - CAPACITY) / RATE + 2


def test_many_processes_never_exceed_the_rate(redis_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MANY, redis_url], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    moments = sorted(map(float, lines))[:400]
    assert len(moments) > CAPACITY
    assert_never_exceeded(moments, slack=3)


def test_an_unused_token_can_be_used_by_the_next_call(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=0.01)
    for _ in range(CAPACITY):
        assert bucket.reserve() == 0
    bucket.give_back()
    assert bucket.reserve() == 0
    assert bucket.reserve() > 0


def test_returning_tokens_never_makes_the_burst_greater(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=0.01)
    for _ in range(20):
        bucket.give_back()
    assert [bucket.reserve() for _ in range(CAPACITY + 1)][:-1] == [0] * CAPACITY
    assert bucket.reserve() > 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.sampled_from(["call", "call", "call", "give back", "refused"]), max_size=80)
)
def test_the_rate_is_never_exceeded_whatever_workers_do(
    client: redis.Redis, steps: list[str]
) -> None:
    client.flushdb()
    bucket, calls = bucket_of(client), list[float]()
    for step in steps:
        if step == "call":
            calls.append(time.time() + bucket.reserve())
        elif step == "give back" and calls:
            calls.pop()  # a worker that waited for a token and found nothing due
            bucket.give_back()
        elif step == "refused":
            bucket.drain()
            assert 0 <= bucket.level() <= 1
    assert_never_exceeded(calls)


def test_after_a_refusal_all_callers_wait_for_a_moment(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    bucket.drain()
    assert REFUSAL_WAIT_S - 0.5 < bucket.reserve() <= REFUSAL_WAIT_S + 2 / RATE


def test_a_refusal_never_shortens_the_wait(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=1)
    for _ in range(CAPACITY + 10):
        longest = bucket.reserve()
    bucket.drain()
    assert bucket.reserve() >= longest - 0.5


def test_without_a_rate_no_call_waits(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=0)
    assert [bucket.reserve() for _ in range(1000)] == [0] * 1000
    bucket.drain()
    assert bucket.reserve() == 0


def test_after_a_loss_the_bucket_starts_empty(client: redis.Redis) -> None:
    """Requests sent just before it are lost, and may have used the whole burst."""
    bucket = bucket_of(client)
    moments = [time.time() + bucket.reserve() for _ in range(CAPACITY)]
    client.flushall()
    moments += [time.time() + bucket.reserve() for _ in range(CAPACITY)]
    assert_never_exceeded(moments)


def test_a_restored_bucket_is_trusted_no_more_than_a_lost_one(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    bucket.reserve()
    copy = client.dump("ttokens")
    assert isinstance(copy, bytes)
    moments = [time.time() + bucket.reserve() for _ in range(CAPACITY - 1)]
    client.restore("ttokens", 0, copy, replace=True)
    client.hset("tmemory", "run_id", "of the server before")
    moments += [time.time() + bucket.reserve() for _ in range(CAPACITY)]
    assert_never_exceeded(moments)


def test_a_wait_after_a_refusal_applies_in_a_new_epoch_too(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    client.flushall()
    bucket.drain()
    assert bucket.reserve() > REFUSAL_WAIT_S - 0.5

"""The token bucket on a real Redis: workers, threads and processes never exceed the rate."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.bitrix24.token_bucket import MARGIN, REFUSAL_WAIT_S, TokenBucket
from tests.integration.conftest import in_threads

#: Of the bucket under test: calls per second, and the portal's burst. Tests do not sleep until a
#: token: they compare the times at which reserved calls may begin.
RATE, BURST = 2.0, 12
#: The tokens of a full bucket.
CAPACITY = BURST - MARGIN
#: Prints for each token when its call may begin, and how long the reservation took.
RESERVE_FOR_A_SECOND = """
import sys, time, redis
from leadline.bitrix24.token_bucket import TokenBucket
bucket = TokenBucket(redis.Redis.from_url(sys.argv[1]), "t", rate_per_s=2, burst=12)
until = time.monotonic() + 1
while time.monotonic() < until:
    began = time.time()
    wait_s = bucket.reserve()
    print(began + wait_s, time.time() - began)
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


@dataclass(frozen=True, order=True)
class Call:
    """A call: it begins at `at_s` (unix time), or up to `late_s` later."""

    at_s: float
    late_s: float

    @classmethod
    def by(cls, bucket: TokenBucket) -> Self:
        """The call for which a token is reserved now; this machine may halt at any step."""
        began = time.time()
        at_s = began + bucket.reserve()
        return cls(at_s, time.time() - began)


def assert_never_exceeded(calls: Iterable[Call]) -> None:
    """Check that no interval contains more calls than the burst and what the rate adds to it."""
    calls = sorted(calls)
    late_s = max((call.late_s for call in calls), default=0)
    for first in range(len(calls)):
        for last in range(first, len(calls)):
            seconds = calls[last].at_s - calls[first].at_s + late_s
            assert last - first + 1 <= CAPACITY + RATE * seconds + 1


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(client: redis.Redis) -> None:
    rate = 0.05  # no call gets a token of its own while this machine halts
    bucket = bucket_of(client, rate)
    waits = [bucket.reserve() for _ in range(CAPACITY + 5)]
    assert waits[:CAPACITY] == [0] * CAPACITY
    delayed = waits[CAPACITY:]
    assert delayed == sorted(set(delayed)), "each later than the one before"
    assert 3 / rate < waits[-1] <= 5 / rate


def test_many_threads_never_exceed_the_rate(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    began = time.time()

    def reserve_calls(_: int) -> list[Call]:
        return [Call.by(bucket) for _ in range(20)]

    calls = list(chain.from_iterable(in_threads(8, reserve_calls)))
    assert len(calls) == 160
    assert_never_exceeded(calls)
    assert max(calls).at_s - began <= (160 - CAPACITY) / RATE + 2, "the rate is used to the full"


def test_many_processes_never_exceed_the_rate(redis_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVE_FOR_A_SECOND, redis_url], stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    calls = sorted(Call(*map(float, line.split())) for line in lines)[
        :400
    ]  # the check compares all pairs
    assert len(calls) > CAPACITY
    assert_never_exceeded(calls)


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
    assert [bucket.reserve() for _ in range(CAPACITY)] == [0] * CAPACITY
    bucket.reserve()  # a full bucket holds the token just returned in addition
    assert bucket.reserve() > 0


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(st.sampled_from(["call", "call", "call", "give back", "refused"]), max_size=80)
)
def test_the_rate_is_never_exceeded_whatever_workers_do(
    client: redis.Redis, steps: list[str]
) -> None:
    client.flushdb()
    bucket = bucket_of(client)
    calls: list[Call] = []
    for step in steps:
        if step == "call":
            calls.append(Call.by(bucket))
        elif step == "give back" and calls:
            calls.pop()  # a worker that waited for a token and found nothing due
            bucket.give_back()
        elif step == "refused":
            bucket.drain()
            assert 0 <= bucket.level() <= 1
    assert_never_exceeded(calls)


def test_after_a_refusal_all_callers_wait_for_a_moment(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    began = time.monotonic()
    bucket.drain()
    wait_s = bucket.reserve()
    assert began + REFUSAL_WAIT_S < time.monotonic() + wait_s
    assert wait_s <= REFUSAL_WAIT_S + 2 / RATE


def test_a_refusal_never_shortens_the_wait(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=1)
    for _ in range(CAPACITY + 10):
        began = time.monotonic()
        longest = bucket.reserve()
    bucket.drain()
    wait_s = bucket.reserve()
    assert time.monotonic() + wait_s >= began + longest


def test_without_a_rate_no_call_waits(client: redis.Redis) -> None:
    bucket = bucket_of(client, rate=0)
    assert [bucket.reserve() for _ in range(1000)] == [0] * 1000
    bucket.drain()
    assert bucket.reserve() == 0


def test_after_a_loss_the_bucket_starts_empty(client: redis.Redis) -> None:
    """Requests sent just before it are lost, and may have used the whole burst."""
    bucket = bucket_of(client)
    calls = [Call.by(bucket) for _ in range(CAPACITY)]
    client.flushall()
    calls += [Call.by(bucket) for _ in range(CAPACITY)]
    assert_never_exceeded(calls)


def test_a_restored_bucket_is_trusted_no_more_than_a_lost_one(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    bucket.reserve()
    copy = client.dump("ttokens")
    assert isinstance(copy, bytes)
    calls = [Call.by(bucket) for _ in range(CAPACITY - 1)]
    client.restore("ttokens", 0, copy, replace=True)
    client.hset("tmemory", "run_id", "of the server before")
    calls += [Call.by(bucket) for _ in range(CAPACITY)]
    assert_never_exceeded(calls)


def test_a_wait_after_a_refusal_applies_in_a_new_epoch_too(client: redis.Redis) -> None:
    bucket = bucket_of(client)
    client.flushall()
    began = time.monotonic()
    bucket.drain()
    wait_s = bucket.reserve()
    assert time.monotonic() + wait_s > began + REFUSAL_WAIT_S

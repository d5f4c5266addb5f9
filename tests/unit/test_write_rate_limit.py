"""The rate limit of writes, with a test clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.errors import TooManyRequests
from leadline.runtime.http import rate_limit
from leadline.runtime.http.rate_limit import RateLimiter


class Clock:
    """Replaces time.monotonic."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limit, "time", clock)
    return clock


def passes(limit: RateLimiter, caller: str = "me") -> bool:
    try:
        limit.acquire(caller)
    except TooManyRequests:
        return False
    return True


def test_a_burst_passes_and_then_the_rate(clock: Clock) -> None:
    limit = RateLimiter(per_s=2, burst=5)
    assert [passes(limit) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 1
    assert [passes(limit) for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [passes(limit) for _ in range(6)] == [True] * 5 + [False]


def test_each_caller_has_its_own_rate_limit(clock: Clock) -> None:
    limit = RateLimiter(per_s=1, burst=1)
    assert passes(limit, "a")
    assert not passes(limit, "a")
    assert passes(limit, "b")
    assert clock.now == 1000


@given(per_s=st.floats(0.01, 1000), burst=st.integers(1, 50))
def test_a_caller_that_waits_for_retry_after_passes_and_not_before(
    per_s: float, burst: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(rate_limit, "time", clock)
        limit = RateLimiter(per_s, burst)
        assert all(passes(limit) for _ in range(burst))
        with pytest.raises(TooManyRequests) as refused:
            limit.acquire("me")
        assert refused.value.retry_after_s is not None
        clock.now += refused.value.retry_after_s
        assert passes(limit)


def batch_passes(limit: RateLimiter, writes: int) -> bool:
    try:
        limit.acquire("me")
        limit.acquire_more("me", writes)
    except TooManyRequests:
        return False
    return True


def test_a_batch_counts_each_of_its_writes(clock: Clock) -> None:
    limit = RateLimiter(per_s=10, burst=100)
    assert batch_passes(limit, 60)
    assert not batch_passes(limit, 60)
    assert batch_passes(limit, 39)  # 40 tokens were left, and the refused request took one
    assert not passes(limit)
    clock.now += 2
    assert batch_passes(limit, 20)
    assert not passes(limit)


def test_a_batch_over_the_burst_needs_a_full_bucket_and_later_ones_pay_for_it(
    clock: Clock,
) -> None:
    limit = RateLimiter(per_s=10, burst=100)
    assert passes(limit)
    assert not batch_passes(limit, 300)
    clock.now += 0.2
    assert batch_passes(limit, 300)
    clock.now += 20
    assert not passes(limit)
    clock.now += 0.2
    assert passes(limit)


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=30), burst=st.integers(1, 500))
def test_over_time_batches_get_no_more_than_the_rate(sizes: list[int], burst: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(rate_limit, "time", clock)
        limit = RateLimiter(per_s=100, burst=burst)
        written = 0
        for size in sizes:
            for _ in range(50):
                try:
                    limit.acquire("me")
                    written += 1
                    limit.acquire_more("me", size)
                except TooManyRequests as refused:
                    clock.now += refused.retry_after_s or 0
                else:
                    written += size - 1
                    break
            else:
                pytest.fail("a batch that waits as it is asked to is never accepted")
            # One batch may take more than the bucket holds; later ones wait for its tokens.
            assert written - max(sizes) <= burst + 100 * (clock.now - 1000)


def test_without_a_rate_there_is_no_limit() -> None:
    limit = RateLimiter(per_s=0, burst=1)
    assert all(passes(limit) for _ in range(1000))

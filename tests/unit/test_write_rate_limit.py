"""The rate limit of writes, with a test clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.errors import TooManyRequests
from leadline.runtime.http import rate_limit
from leadline.runtime.http.rate_limit import RateLimiter


class Clock:
    """Stands for time.monotonic."""

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
    limit = RateLimiter(2, 5)
    assert [passes(limit) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 1
    assert [passes(limit) for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [passes(limit) for _ in range(6)] == [True] * 5 + [False]


def test_each_caller_has_its_own(clock: Clock) -> None:
    limit = RateLimiter(1, 1)
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


def test_without_a_rate_there_is_no_limit() -> None:
    limit = RateLimiter(0, 1)
    assert all(passes(limit) for _ in range(1000))

"""The stale cache: computed once for all callers, and again when old or after an action."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.errors import DatabaseDown
from leadline.operations.stale_cache import StaleCache
from tests.servers import eventually


def test_a_fresh_value_is_cached_until_an_action() -> None:
    figures = itertools.count(1)
    cache = StaleCache(lambda: next(figures), min_fresh_s=1000)
    assert [cache.get() for _ in range(3)] == [1, 1, 1]
    cache.invalidate()
    assert [cache.get() for _ in range(3)] == [2, 2, 2]


def test_an_old_value_is_computed_again() -> None:
    figures = itertools.count()
    cache = StaleCache(lambda: next(figures), min_fresh_s=0)
    # A value that took no time is cached only briefly.
    assert len({cache.get() for _ in range(10_000)}) > 1


def test_an_error_is_not_cached() -> None:
    answers = iter((DatabaseDown(), 7))

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = StaleCache(ask, min_fresh_s=1000)
    with pytest.raises(DatabaseDown):
        cache.get()
    assert cache.get() == 7


def test_a_slow_value_delays_no_caller_that_can_have_the_last_one() -> None:
    figures = itertools.count(1)
    may_answer = threading.Event()

    def ask() -> int:
        number = next(figures)
        if number > 1:
            assert may_answer.wait(60)
        return number

    cache = StaleCache(ask, min_fresh_s=0)
    assert cache.get() == 1
    assert [cache.get() for _ in range(3)] == [1, 1, 1]
    may_answer.set()
    eventually(lambda: cache.get() > 1, 60, "the new value is returned")


def test_a_value_computed_before_an_action_is_not_served_after_it() -> None:
    figures = itertools.count(1)
    is_asked, may_answer = threading.Event(), threading.Event()

    def ask() -> int:
        number = next(figures)
        if number == 2:
            is_asked.set()
            assert may_answer.wait(60)
        return number

    cache = StaleCache(ask, min_fresh_s=0)
    while cache.get() == 1 and not is_asked.is_set():
        pass
    cache.invalidate()
    with ThreadPoolExecutor(1) as pool:
        asked_after = pool.submit(cache.get)
        may_answer.set()
        assert asked_after.result() > 2

"""A figure is asked for once for many, and again when it is old or an order was given."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.errors import DatabaseDown
from leadline.operations.stale_cache import StaleCache
from tests.servers import eventually


def test_a_fresh_figure_is_not_asked_for_again_until_an_order_was_given() -> None:
    figures = itertools.count(1)
    calm = StaleCache(lambda: next(figures), min_fresh_s=1000)
    assert [calm.get() for _ in range(3)] == [1, 1, 1]
    calm.invalidate()
    assert [calm.get() for _ in range(3)] == [2, 2, 2]


def test_an_old_figure_is_asked_for_again() -> None:
    figures = itertools.count()
    calm = StaleCache(lambda: next(figures), min_fresh_s=0)
    # What took no time is not kept for long.
    assert len({calm.get() for _ in range(10_000)}) > 1


def test_who_can_not_be_asked_is_asked_again() -> None:
    answers = iter((DatabaseDown(), 7))

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    calm = StaleCache(ask, min_fresh_s=1000)
    with pytest.raises(DatabaseDown):
        calm.get()
    assert calm.get() == 7


def test_a_costly_figure_keeps_nobody_waiting_who_can_have_the_last_one() -> None:
    figures, may_answer = itertools.count(1), threading.Event()

    def ask() -> int:
        number = next(figures)
        if number > 1:
            assert may_answer.wait(60)
        return number

    calm = StaleCache(ask, min_fresh_s=0)
    assert calm.get() == 1
    assert [calm.get() for _ in range(3)] == [1, 1, 1]
    may_answer.set()
    eventually(lambda: calm.get() > 1, 20, "the new figure is told")


def test_what_was_asked_before_an_order_does_not_count_after_it() -> None:
    figures, is_asked, may_answer = itertools.count(1), threading.Event(), threading.Event()

    def ask() -> int:
        number = next(figures)
        if number == 2:
            is_asked.set()
            assert may_answer.wait(60)
        return number

    calm = StaleCache(ask, min_fresh_s=0)
    while calm.get() == 1 and not is_asked.is_set():
        pass
    calm.invalidate()
    with ThreadPoolExecutor(1) as pool:
        asked_after = pool.submit(calm.get)
        may_answer.set()
        assert asked_after.result() > 2

"""A figure is asked for once for many, and again when it is old or an order was given."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.errors import DatabaseDown
from leadline.operations.stale_cache import Calm
from tests.servers import eventually


def test_a_fresh_figure_is_not_asked_for_again_until_an_order_was_given() -> None:
    figures = itertools.count(1)
    calm = Calm(lambda: next(figures), at_least_s=1000)
    assert [calm.figure() for _ in range(3)] == [1, 1, 1]
    calm.forget()
    assert [calm.figure() for _ in range(3)] == [2, 2, 2]


def test_an_old_figure_is_asked_for_again() -> None:
    figures = itertools.count()
    calm = Calm(lambda: next(figures), at_least_s=0)
    # What took no time is not kept for long.
    assert len({calm.figure() for _ in range(10_000)}) > 1


def test_who_can_not_be_asked_is_asked_again() -> None:
    answers = iter((DatabaseDown(), 7))

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    calm = Calm(ask, at_least_s=1000)
    with pytest.raises(DatabaseDown):
        calm.figure()
    assert calm.figure() == 7


def test_a_costly_figure_keeps_nobody_waiting_who_can_have_the_last_one() -> None:
    figures, may_answer = itertools.count(1), threading.Event()

    def ask() -> int:
        number = next(figures)
        if number > 1:
            assert may_answer.wait(60)
        return number

    calm = Calm(ask, at_least_s=0)
    assert calm.figure() == 1
    assert [calm.figure() for _ in range(3)] == [1, 1, 1]
    may_answer.set()
    eventually(lambda: calm.figure() > 1, 20, "the new figure is told")


def test_what_was_asked_before_an_order_does_not_count_after_it() -> None:
    figures, is_asked, may_answer = itertools.count(1), threading.Event(), threading.Event()

    def ask() -> int:
        number = next(figures)
        if number == 2:
            is_asked.set()
            assert may_answer.wait(60)
        return number

    calm = Calm(ask, at_least_s=0)
    while calm.figure() == 1 and not is_asked.is_set():
        pass
    calm.forget()
    with ThreadPoolExecutor(1) as pool:
        asked_after = pool.submit(calm.figure)
        may_answer.set()
        assert asked_after.result() > 2

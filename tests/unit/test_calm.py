"""A figure is asked for once for many, and again when it is old or an order was given."""

import itertools

import pytest

from leadline.runtime.errors import DatabaseDown
from leadline.watch.calm import Calm


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
    assert len({calm.figure() for _ in range(100_000)}) > 1


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

"""Group commit: served together, each with its own answer."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.runtime.together import Together
from local.private.waiting import eventually


class Bakery:
    """Serves when the test says so, and remembers whom it served together."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.served: list[list[int]] = []

    def serve(self, asks: Sequence[int]) -> list[int]:
        self.served.append(list(asks))
        assert self.opened.wait(10)
        if -1 in asks:
            raise ValueError(asks)
        return [ask * 10 for ask in asks]


def test_who_comes_while_others_are_served_is_served_with_all_who_came() -> None:
    bakery = Bakery()
    together = Together(bakery.serve, at_most=3, groups=1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.ask, 0)
        eventually(lambda: bool(bakery.served), 10, "the first is being served")
        others = []
        for number in range(1, 6):
            others.append(pool.submit(together.ask, number))
            eventually(lambda: together.waiting() == len(others), 10, "the next one waits")
        bakery.opened.set()
        assert [one.result(10) for one in (first, *others)] == [0, 10, 20, 30, 40, 50]
    assert bakery.served == [[0], [1, 2, 3], [4, 5]]


def test_an_error_is_raised_for_all_whom_it_concerns_and_for_nobody_else() -> None:
    bakery = Bakery()
    bakery.opened.set()
    together = Together(bakery.serve, at_most=3, groups=1)
    with pytest.raises(ValueError, match="-1"):
        together.ask(-1)
    assert together.ask(1) == 10


def test_an_error_reaches_those_who_were_served_together() -> None:
    bakery = Bakery()
    together = Together(bakery.serve, at_most=3, groups=1)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(together.ask, 0)
        eventually(lambda: bool(bakery.served), 10, "the first is being served")
        others = [pool.submit(together.ask, number) for number in (-1, 2)]
        eventually(lambda: together.waiting() == len(others), 10, "the others wait")
        bakery.opened.set()
        assert first.result(10) == 0
        assert [type(one.exception(10)) for one in others] == [ValueError, ValueError]


def test_another_group_goes_while_the_first_waits() -> None:
    bakery = Bakery()
    together = Together(bakery.serve, at_most=3, groups=2)
    with ThreadPoolExecutor(3) as pool:
        answers = []
        for number in range(2):
            answers.append(pool.submit(together.ask, number))
            eventually(lambda: len(bakery.served) == len(answers), 10, "each is being served")
        answers.append(pool.submit(together.ask, 2))
        eventually(lambda: together.waiting() == 1, 10, "the third waits")
        bakery.opened.set()
        assert [one.result(10) for one in answers] == [0, 10, 20]
    assert bakery.served == [[0], [1], [2]]

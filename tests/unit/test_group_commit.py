"""Group commit: served together, each with its own answer."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial

import pytest

from leadline.runtime.concurrency import greenlets, group_commit
from leadline.runtime.concurrency.group_commit import Together


class Bakery:
    """Serves when the test says so, and remembers whom it served together."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.has_begun = threading.Event()
        self.served: list[list[int]] = []

    def serve(self, asks: Sequence[int]) -> list[int]:
        self.served.append(list(asks))
        self.has_begun.set()
        assert greenlets.aside(partial(self.opened.wait, 10))
        if -1 in asks:
            raise ValueError(asks)
        return [ask * 10 for ask in asks]


def ask_by_turns(bakery: Bakery, first: int, *others: int) -> list[int | BaseException]:
    """The answers where the others come while the first is being served."""
    shared = Together(bakery.serve, at_most=3)

    async def all_of_them() -> list[int | BaseException]:
        answers = [asyncio.create_task(greenlets.take(partial(shared.ask, first)))]
        await asyncio.to_thread(bakery.has_begun.wait, 10)
        answers += [
            asyncio.create_task(greenlets.take(partial(shared.ask, other))) for other in others
        ]
        await asyncio.sleep(0)  # each of them has asked
        bakery.opened.set()
        return await asyncio.gather(*answers, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_who_comes_while_others_are_served_is_served_with_all_who_came() -> None:
    bakery = Bakery()
    assert ask_by_turns(bakery, 0, 1, 2, 3, 4, 5) == [0, 10, 20, 30, 40, 50]
    assert bakery.served == [[0], [1, 2, 3], [4, 5]]


def test_one_client_alone_never_lingers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LINGER_S", 3600)
    bakery = Bakery()
    bakery.opened.set()
    shared = Together(bakery.serve, at_most=3)

    async def one_after_the_other() -> list[int]:
        return [await greenlets.take(partial(shared.ask, ask)) for ask in (1, 2, 3)]

    assert asyncio.run(asyncio.wait_for(one_after_the_other(), 10)) == [10, 20, 30]


def test_after_a_group_of_several_the_next_one_waits_for_company(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "LINGER_S", 1)
    bakery = Bakery()
    bakery.opened.set()
    shared = Together(bakery.serve, at_most=3)

    async def asked(*asks: int) -> list[int]:
        return await asyncio.gather(*(greenlets.take(partial(shared.ask, ask)) for ask in asks))

    async def all_of_them() -> None:
        await asked(1, 2)
        early = asyncio.create_task(asked(3))
        for _ in range(10):  # rounds of the loop, in which a request that goes at once is gone
            await asyncio.sleep(0)
        await asyncio.gather(early, asked(4))

    asyncio.run(all_of_them())
    assert bakery.served == [[1, 2], [3, 4]]


def test_an_error_is_raised_for_all_whom_it_concerns_and_for_nobody_else() -> None:
    bakery = Bakery()
    found = ask_by_turns(bakery, 0, -1, 2, 3, 4)
    assert [type(one) for one in found] == [int, ValueError, ValueError, ValueError, int]


def test_one_whose_request_is_cancelled_holds_up_nobody_of_its_group() -> None:
    bakery = Bakery()
    shared = Together(bakery.serve, at_most=3)

    async def cancels() -> list[int]:
        tasks = [asyncio.create_task(greenlets.take(partial(shared.ask, ask))) for ask in (1, 2, 3)]
        await asyncio.to_thread(bakery.has_begun.wait, 10)
        tasks[0].cancel()
        bakery.opened.set()
        return await asyncio.wait_for(asyncio.gather(*tasks[1:]), 10)

    assert asyncio.run(cancels()) == [20, 30]


def test_outside_of_a_turn_each_is_served_by_itself() -> None:
    bakery = Bakery()
    bakery.opened.set()
    shared = Together(bakery.serve, at_most=3)
    with pytest.raises(ValueError, match="-1"):
        shared.ask(-1)
    assert shared.ask(1) == 10
    assert bakery.served == [[-1], [1]]

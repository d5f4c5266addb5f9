"""Requests by turns: one that waits gives way, and each keeps its own result and error."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from leadline.runtime.concurrency import greenlets
from leadline.runtime.telemetry import trace_context


def by_turns(*requests: Callable[[], object]) -> list[object]:
    """What these requests come to when all are under way at once on one loop."""

    async def all_of_them() -> list[object]:
        return await asyncio.gather(*map(greenlets.take, requests), return_exceptions=True)

    return asyncio.run(all_of_them())


def test_one_that_waits_gives_way_to_the_others() -> None:
    opened = threading.Event()

    def opens() -> str:
        opened.set()
        return "opened"

    assert by_turns(lambda: greenlets.aside(partial(opened.wait, 10)), opens) == [True, "opened"]


def test_each_gets_its_own_error() -> None:
    def fails() -> None:
        raise KeyError("mine")

    def mends() -> str:
        try:
            greenlets.aside(fails)
        except KeyError:
            return "mended"
        return "nothing to mend"

    failed, mended, direct = by_turns(partial(greenlets.aside, fails), mends, fails)
    assert (type(failed), mended, type(direct)) == (KeyError, "mended", KeyError)


def test_a_turn_keeps_its_trace_while_others_have_theirs() -> None:
    def traced(name: str) -> str:
        trace_context.begin(name)
        greenlets.aside(lambda: None)
        return trace_context.current().correlation_id

    names = ["a", "b", "c"]
    assert by_turns(*(partial(traced, name) for name in names)) == names


def test_a_request_sees_nothing_of_the_one_before_it() -> None:
    def begins() -> None:
        trace_context.begin("before")

    for _ in range(2):
        assert (
            by_turns(trace_context.correlation_id, begins, trace_context.correlation_id)
            == [None] * 3
        )


def test_one_whose_request_is_cancelled_gives_its_seat_to_the_next() -> None:
    seats = greenlets.Seats(1)

    def sits(until: asyncio.Future[str]) -> str:
        with seats:
            return greenlets.wait(until)

    async def cancels() -> list[str]:
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[str]] = [loop.create_future() for _ in range(4)]
        tasks = [asyncio.create_task(greenlets.take(partial(sits, end))) for end in ends]
        await asyncio.sleep(0)
        for cancelled in (tasks[1], tasks[0]):  # one that waits for the seat, then who sits there
            cancelled.cancel()
        for end in ends[2:]:
            end.set_result("sat")
        return await asyncio.wait_for(asyncio.gather(*tasks[2:]), 10)

    assert asyncio.run(cancels()) == ["sat", "sat"]


def test_a_turn_at_rest_keeps_nothing_of_its_answer() -> None:
    class Body:
        pass

    async def answers() -> bool:
        kept = weakref.ref(await greenlets.take(Body))
        return kept() is None

    assert asyncio.run(answers())


def test_outside_of_a_turn_the_same_call_blocks() -> None:
    assert greenlets.aside(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        greenlets.aside(lambda: 1 // 0)

"""Requests as greenlets: a wait yields to others, and each keeps its own result and error."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from leadline.runtime.concurrency import greenlets
from leadline.runtime.telemetry import trace_context


def run_concurrently(*requests: Callable[[], object]) -> list[object]:
    """The results or errors of these requests, all in flight at once on one loop."""

    async def run_all() -> list[object]:
        return await asyncio.gather(*map(greenlets.spawn, requests), return_exceptions=True)

    return asyncio.run(run_all())


def test_a_waiting_greenlet_yields_to_other_requests() -> None:
    opened = threading.Event()

    def open_event() -> str:
        opened.set()
        return "opened"

    assert run_concurrently(
        lambda: greenlets.run_in_thread(partial(opened.wait, 60)), open_event
    ) == [
        True,
        "opened",
    ]


def test_each_request_gets_its_own_error() -> None:
    def fail() -> None:
        raise KeyError("mine")

    def recover() -> str:
        try:
            greenlets.run_in_thread(fail)
        except KeyError:
            return "recovered"
        return "no error"

    failed, recovered, direct = run_concurrently(
        partial(greenlets.run_in_thread, fail), recover, fail
    )
    assert (type(failed), recovered, type(direct)) == (KeyError, "recovered", KeyError)


def test_a_greenlet_keeps_its_trace_while_others_have_theirs() -> None:
    def read_own_trace(name: str) -> str:
        trace_context.begin(name)
        greenlets.run_in_thread(lambda: None)
        return trace_context.current().correlation_id

    names = ["a", "b", "c"]
    assert run_concurrently(*(partial(read_own_trace, name) for name in names)) == names


def test_a_request_sees_nothing_of_the_previous_one() -> None:
    def begin_trace() -> None:
        trace_context.begin("before")

    for _ in range(2):
        assert (
            run_concurrently(
                trace_context.correlation_id, begin_trace, trace_context.correlation_id
            )
            == [None] * 3
        )


def test_a_cancelled_request_releases_its_slot_to_the_next() -> None:
    semaphore = greenlets.Semaphore(1)

    def hold(until: asyncio.Future[str]) -> str:
        with semaphore:
            return greenlets.await_(until)

    async def cancel_two() -> list[str]:
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[str]] = [loop.create_future() for _ in range(4)]
        tasks = [asyncio.create_task(greenlets.spawn(partial(hold, end))) for end in ends]
        await asyncio.sleep(0)
        for cancelled in (tasks[1], tasks[0]):  # the one that waits, then the holder
            cancelled.cancel()
        for end in ends[2:]:
            end.set_result("held")
        return await asyncio.wait_for(asyncio.gather(*tasks[2:]), 60)

    assert asyncio.run(cancel_two()) == ["held", "held"]


def test_an_idle_greenlet_keeps_no_response_alive() -> None:
    class Body:
        pass

    async def is_body_gone() -> bool:
        body = weakref.ref(await greenlets.spawn(Body))
        return body() is None

    assert asyncio.run(is_body_gone())


def test_outside_of_a_greenlet_the_same_call_blocks() -> None:
    assert greenlets.run_in_thread(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        greenlets.run_in_thread(lambda: 1 // 0)

"""Coalesced requests share a flush, and each gets its own result."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial

import pytest

from leadline.runtime.concurrency import greenlets
from leadline.runtime.concurrency.coalescing import Coalescer


class Backend:
    """Flushes when the test allows it, and records each group; one with -1 in it fails."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.has_begun = threading.Event()
        self.groups: list[list[int]] = []

    def flush(self, requests: Sequence[int]) -> list[int]:
        self.groups.append(list(requests))
        self.has_begun.set()
        assert greenlets.run_in_thread(partial(self.opened.wait, 60))
        if -1 in requests:
            raise ValueError(requests)
        return [request * 10 for request in requests]


def submit_concurrently(backend: Backend, first: int, *others: int) -> list[int | BaseException]:
    """The results if the others arrive while the first one is in flight."""
    group = Coalescer(backend.flush, max_group=3)

    async def run_all() -> list[int | BaseException]:
        results = [asyncio.create_task(greenlets.spawn(partial(group.submit, first)))]
        await asyncio.to_thread(backend.has_begun.wait, 60)
        results += [
            asyncio.create_task(greenlets.spawn(partial(group.submit, other))) for other in others
        ]
        await asyncio.sleep(0)  # each of them has submitted
        backend.opened.set()
        return await asyncio.gather(*results, return_exceptions=True)

    return asyncio.run(run_all())


def test_requests_that_arrive_during_a_flush_share_the_next_one() -> None:
    backend = Backend()
    assert submit_concurrently(backend, 0, 1, 2, 3, 4, 5) == [0, 10, 20, 30, 40, 50]
    assert backend.groups == [[0], [1, 2, 3], [4, 5]]


def test_a_lone_request_does_not_wait_for_others() -> None:
    backend = Backend()
    backend.opened.set()
    group = Coalescer(backend.flush, max_group=3)

    async def submit(*requests: int) -> list[int]:
        return await asyncio.gather(
            *(greenlets.spawn(partial(group.submit, request)) for request in requests)
        )

    async def in_turn() -> None:
        await submit(1, 2)
        early = asyncio.create_task(submit(3))
        for _ in range(10):  # iterations of the loop; a linger would be one of its timers
            await asyncio.sleep(0)
        await asyncio.gather(early, submit(4))

    asyncio.run(in_turn())
    assert backend.groups == [[1, 2], [3], [4]]


def test_an_error_is_raised_for_its_own_group_only() -> None:
    backend = Backend()
    found = submit_concurrently(backend, 0, -1, 2, 3, 4)
    assert [type(answer) for answer in found] == [int, ValueError, ValueError, ValueError, int]


def test_a_cancelled_request_holds_up_no_other_of_its_group() -> None:
    backend = Backend()
    group = Coalescer(backend.flush, max_group=3)

    async def cancel_one() -> list[int]:
        tasks = [
            asyncio.create_task(greenlets.spawn(partial(group.submit, ask))) for ask in (1, 2, 3)
        ]
        await asyncio.to_thread(backend.has_begun.wait, 60)
        tasks[0].cancel()
        backend.opened.set()
        return await asyncio.wait_for(asyncio.gather(*tasks[1:]), 60)

    assert asyncio.run(cancel_one()) == [20, 30]


def test_outside_of_a_greenlet_each_request_is_flushed_alone() -> None:
    backend = Backend()
    backend.opened.set()
    group = Coalescer(backend.flush, max_group=3)
    with pytest.raises(ValueError, match="-1"):
        group.submit(-1)
    assert group.submit(1) == 10
    assert backend.groups == [[-1], [1]]

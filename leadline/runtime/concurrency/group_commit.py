"""Group commit: requests that arrive while one is in flight share the next statement."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from leadline.runtime.concurrency import greenlets

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

#: How long after the last group a group may wait for company. Each group has its own costs, and a
#: larger one divides them among more. A request lingers only where the last group was of several:
#: one client alone, which asks again as soon as it has its answer, never waits.
LINGER_S = 0.003

_Group = list[tuple[Ask, asyncio.Future[Answer]]]


class Together(Generic[Ask, Answer]):
    """Serves what turns ask for at the same time in one go; who comes alone waits for nothing.

    `serve` gives an answer for each ask, in order; it runs in a turn of its own, one group after
    the other. Outside of a turn each ask is served by itself.
    """

    def __init__(self, serve: Callable[[Sequence[Ask]], Sequence[Answer]], *, at_most: int) -> None:
        self._serve = serve
        self._at_most = at_most
        # All of it is touched on the loop's thread only.
        self._waiting: _Group[Ask, Answer] = []
        self._is_busy = False
        self._went_at = float("-inf")
        self._had_company = False

    def ask(self, ask: Ask) -> Answer:
        """The answer to this ask; what `serve` raises is raised for all whom it served."""
        if not greenlets.is_turn():
            return self._serve([ask])[0]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((ask, answer))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._gather)  # whose turn is in the same round of the loop comes along
        return greenlets.wait(answer)

    def _gather(self) -> None:
        """Have those who wait served: now, or when others had time to come along."""
        loop = asyncio.get_running_loop()
        wait_s = self._went_at + LINGER_S - loop.time()
        if wait_s > 0 and (self._had_company or len(self._waiting) > 1):
            loop.call_later(wait_s, self._go)
        else:
            self._go()

    def _go(self) -> None:
        """Serve those who wait, in order of arrival."""
        loop = asyncio.get_running_loop()
        self._went_at = loop.time()
        group, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
        self._had_company = len(group) > 1
        asks = [ask for ask, _ in group]
        served = loop.create_task(greenlets.take(lambda: self._serve(asks)))
        served.add_done_callback(partial(self._served, group))

    def _served(self, group: _Group[Ask, Answer], served: asyncio.Future[Sequence[Answer]]) -> None:
        # First the next group is sent on its way, then this one goes on while that is being served.
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            self._gather()
        error = served.exception()
        answers = served.result() if error is None else [None] * len(group)
        for (_, future), answer in zip(group, answers, strict=True):
            greenlets.settle(future, answer, error)

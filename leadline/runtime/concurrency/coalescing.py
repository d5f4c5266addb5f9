"""Request coalescing: requests that arrive while one is in flight share the next statement.

For writes this is group commit. It needs no linger: under load, requests collect while a statement
is in flight, and a single client, which sends its next request after each response, does not wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from leadline.runtime.concurrency import greenlets

Request = TypeVar("Request")
Result = TypeVar("Result")

_Group = list[tuple[Request, asyncio.Future[Result]]]


class Coalescer(Generic[Request, Result]):
    """Runs the requests of concurrent greenlets in groups, one group at a time.

    `flush` takes up to `max_group` requests and returns a result for each, in order; it runs in
    its own greenlet. Outside of a greenlet each request forms its own group.
    """

    def __init__(
        self, flush: Callable[[Sequence[Request]], Sequence[Result]], *, max_group: int
    ) -> None:
        self._flush = flush
        self._max_group = max_group
        # The following are used on the loop's thread only.
        self._waiting: _Group[Request, Result] = []
        self._is_flushing = False

    def submit(self, request: Request) -> Result:
        """The result of this request; all requests of a group get the error of its `flush`."""
        if not greenlets.in_greenlet():
            return self._flush([request])[0]
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((request, result))
        if not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._start)  # requests of the same loop iteration join the group
        return greenlets.await_(result)

    def _start(self) -> None:
        """Flush the waiting requests, in order of arrival."""
        group, self._waiting = self._waiting[: self._max_group], self._waiting[self._max_group :]
        requests = [request for request, _ in group]
        flushed = asyncio.get_running_loop().create_task(
            greenlets.spawn(lambda: self._flush(requests))
        )
        flushed.add_done_callback(partial(self._complete, group))

    def _complete(
        self, group: _Group[Request, Result], flushed: asyncio.Future[Sequence[Result]]
    ) -> None:
        # The next group starts first, so that Postgres works while this one's results are handled.
        self._is_flushing = bool(self._waiting)
        if self._is_flushing:
            self._start()
        error = flushed.exception()
        results = flushed.result() if error is None else [None] * len(group)
        for (_, future), result in zip(group, results, strict=True):
            greenlets.resolve(future, result, error)

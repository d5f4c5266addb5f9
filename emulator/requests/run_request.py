"""Execution of an admitted request, apart from the connection it came in on."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from emulator.errors import RestError
from emulator.faults import Plan
from emulator.http import replies
from emulator.requests import batch
from emulator.requests.method_call import execute
from emulator.requests.parsed_request import Order
from emulator.requests.request_context import Interrupted, Visit
from emulator.requests.stopwatch import Stopwatch


class Dropped(Exception):
    """The connection is to be broken off without an answer."""


@dataclass(frozen=True)
class Job:
    """An admitted request: who asks, for what, and what faults befall its commands."""

    visit: Visit
    order: Order
    plan: Plan
    stop_after: int | None = None


async def run(job: Job) -> web.Response:
    """Execute in a task of its own, so that a client that leaves does not stop it.

    Raises Dropped when the portal is reset meanwhile.
    """
    replied: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
    task = job.visit.portal.start(_execute(job, replied))
    cut = asyncio.create_task(job.visit.cut.wait())
    try:
        await asyncio.wait([task, cut], return_when=asyncio.FIRST_COMPLETED)
    finally:
        cut.cancel()
    if job.visit.cut.is_set():
        return replies.gateway(504)
    if task.cancelled():
        raise Dropped
    await task
    return replied.result()


async def _execute(job: Job, replied: asyncio.Future[web.Response]) -> None:
    try:
        reply = await _answer(job)
    except RestError as error:
        reply = replies.error(error)
    except Interrupted:
        reply = replies.gateway(504)
    replied.set_result(reply)


async def _answer(job: Job) -> web.Response:
    visit, order = job.visit, job.order
    stopwatch = Stopwatch(visit.portal)
    await visit.work(visit.portal.settings.request_ms / 1000)
    if order.method == "batch":
        return replies.ok(
            await batch.run(visit, order.params, order.commands, job.plan.commands, job.stop_after)
        )
    try:
        done = await execute(visit, order.method, order.params, stopwatch)
    except RestError as error:
        visit.note("ran", key="", error=error.code)
        raise
    visit.note("ran", key="", lead=done.answer.lead)
    beside = {"next": done.answer.next, "total": done.answer.total}
    shown = {name: value for name, value in beside.items() if value is not None}
    return replies.ok({"result": done.answer.result, **shown, "time": done.time})

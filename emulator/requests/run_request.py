"""Execution of an admitted request, independent of its connection."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from emulator.errors import RestError
from emulator.faults import FaultPlan
from emulator.http import responses
from emulator.requests import batch
from emulator.requests.method_call import execute
from emulator.requests.parsed_request import ParsedRequest
from emulator.requests.request_context import Interrupted, RequestContext
from emulator.requests.stopwatch import Stopwatch


class Dropped(Exception):
    """Abort the connection without a response."""


@dataclass(frozen=True)
class AdmittedRequest:
    """An admitted request with its context and faults.

    `stop_after`: how many commands of a batch are run; all, unless a fault cuts it.
    """

    context: RequestContext
    parsed: ParsedRequest
    plan: FaultPlan
    stop_after: int | None = None


async def run(admitted: AdmittedRequest) -> web.Response:
    """Execute in a separate task, so that a disconnecting client does not stop it.

    Raises Dropped if the portal is reset meanwhile.
    """
    replied: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
    task = admitted.context.portal.start(_execute(admitted, replied))
    cut = asyncio.create_task(admitted.context.cut.wait())
    try:
        await asyncio.wait([task, cut], return_when=asyncio.FIRST_COMPLETED)
    finally:
        cut.cancel()
    if admitted.context.cut.is_set():
        return responses.gateway(504)
    if task.cancelled():
        raise Dropped
    await task
    return replied.result()


async def _execute(admitted: AdmittedRequest, replied: asyncio.Future[web.Response]) -> None:
    try:
        reply = await _run(admitted)
    except RestError as error:
        reply = responses.error(error)
    except Interrupted:
        reply = responses.gateway(504)
    replied.set_result(reply)


async def _run(admitted: AdmittedRequest) -> web.Response:
    context, parsed = admitted.context, admitted.parsed
    stopwatch = Stopwatch(context.portal)
    await context.work(context.portal.settings.request_ms / 1000)
    if parsed.method == "batch":
        return responses.ok(
            await batch.run(
                context,
                parsed.params,
                parsed.commands,
                admitted.plan.command_rules,
                admitted.stop_after,
            )
        )
    try:
        timed = await execute(context, parsed.method, parsed.params, stopwatch)
    except RestError as error:
        context.note("ran", key="", error=error.code)
        raise
    context.note("ran", key="", lead=timed.result.lead)
    paging = {"next": timed.result.next, "total": timed.result.total}
    present = {name: value for name, value in paging.items() if value is not None}
    return responses.ok({"result": timed.result.result, **present, "time": timed.time})

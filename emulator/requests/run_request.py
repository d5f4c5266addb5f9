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

    `stop_after`: how many commands of a batch run; None: all, as no fault stops it earlier.
    """

    context: RequestContext
    parsed: ParsedRequest
    plan: FaultPlan
    stop_after: int | None = None


async def run(admitted: AdmittedRequest) -> web.Response:
    """Execute in a separate task, so that a disconnecting client does not stop it.

    Raises Dropped if the portal is reset meanwhile.
    """
    response: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
    task = admitted.context.portal.start(_execute(admitted, response))
    cut_off = admitted.context.cut_off
    waiting = asyncio.create_task(cut_off.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if cut_off.is_set():
        return responses.gateway_error(504)
    if task.cancelled():
        raise Dropped
    await task
    return response.result()


async def _execute(admitted: AdmittedRequest, response: asyncio.Future[web.Response]) -> None:
    try:
        response.set_result(await _successful_response(admitted))
    except RestError as error:
        response.set_result(responses.error_response(error))
    except Interrupted:
        response.set_result(responses.gateway_error(504))


async def _successful_response(admitted: AdmittedRequest) -> web.Response:
    """Run the batch or the method; raises RestError and Interrupted."""
    context, parsed = admitted.context, admitted.parsed
    stopwatch = Stopwatch(context.portal)
    await context.work(context.portal.settings.request_ms / 1000)
    if parsed.method == "batch":
        return responses.json_response(
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
    body = {"result": timed.result.result}
    if timed.result.next is not None:
        body["next"] = timed.result.next
    if timed.result.total is not None:
        body["total"] = timed.result.total
    return responses.json_response({**body, "time": timed.time})

"""What each fault does to a request."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from emulator.errors import RestError
from emulator.faults import Rule
from emulator.http import replies
from emulator.requests.parsed_request import Order
from emulator.requests.request_context import Visit
from emulator.requests.run_request import Dropped, Job, run


@dataclass(frozen=True)
class Case:
    """A request and the fault that befalls the whole of it."""

    request: web.Request
    job: Job
    rule: Rule


async def carry_out(request: web.Request, visit: Visit, order: Order) -> web.Response:
    """The answer to an admitted request; raises Dropped when there is to be none."""
    plan = visit.portal.faults.plan(order.name, order.command_names)
    job = Job(visit, order, plan)
    visit.note(
        "asked",
        method=order.method,
        commands=[vars(command) for command in order.steps],
        fault=plan.whole and {"action": plan.whole.action, "code": plan.whole.code},
    )
    if plan.whole is None:
        return await run(job)
    return await _FAULTS[plan.whole.action](Case(request, job, plan.whole))


async def _error(case: Case) -> web.Response:
    rule = case.rule
    return replies.error(RestError(rule.code, rule.error_description, rule.status or 500))


async def _error_200(case: Case) -> web.Response:
    return replies.error(RestError(case.rule.code, case.rule.error_description, 200))


async def _drop_before(_: Case) -> web.Response:
    raise Dropped


async def _drop_after(case: Case) -> web.Response:
    await run(replace(case.job, stop_after=case.rule.after_commands))
    raise Dropped


async def _late_commit(case: Case) -> web.Response:
    task = case.job.visit.portal.start(_later(case))
    if case.rule.silent:
        await asyncio.wait([task])
    raise Dropped


async def _later(case: Case) -> None:
    portal = case.job.visit.portal
    await portal.clock.sleep(case.rule.delay_ms / 1000)
    await run(case.job)
    portal.calls.late_commits += 1


async def _delay(case: Case) -> web.Response:
    reply = await run(case.job)
    await case.job.visit.portal.clock.sleep(case.rule.delay_ms / 1000)
    return reply


async def _html(case: Case) -> web.Response:
    if case.rule.execute:
        await run(case.job)
    return replies.gateway(case.rule.status or 502)


async def _truncate(case: Case) -> web.Response:
    return replies.truncated(await run(case.job))


async def _redirect(case: Case) -> web.Response:
    return replies.moved(case.rule.location or _renamed(case.request))


def _renamed(request: web.Request) -> str:
    """This emulator under its other name, so that what follows the redirect can be counted."""
    other = "127.0.0.1" if request.url.host == "localhost" else "localhost"
    return str(request.url.with_host(other))


_FAULTS: dict[str, Callable[[Case], Awaitable[web.Response]]] = {
    "error": _error,
    "error_200": _error_200,
    "drop_before": _drop_before,
    "drop_after": _drop_after,
    "late_commit": _late_commit,
    "delay": _delay,
    "html_502": _html,
    "truncate": _truncate,
    "redirect": _redirect,
}

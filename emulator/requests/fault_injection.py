"""Applies faults to requests."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from emulator.errors import RestError
from emulator.faults import Rule
from emulator.http import responses
from emulator.requests.parsed_request import ParsedRequest
from emulator.requests.request_context import RequestContext
from emulator.requests.run_request import AdmittedRequest, Dropped, run


@dataclass(frozen=True)
class FaultyRequest:
    """A request with a fault that affects it as a whole."""

    request: web.Request
    admitted: AdmittedRequest
    rule: Rule


async def respond(
    request: web.Request, context: RequestContext, parsed: ParsedRequest
) -> web.Response:
    """The response to an admitted request; raises Dropped if there is none."""
    plan = context.portal.faults.plan(parsed.canonical_name, parsed.canonical_command_names)
    admitted = AdmittedRequest(context, parsed, plan)
    rule = plan.request_rule
    context.note(
        "asked",
        method=parsed.method,
        commands=[vars(command) for command in parsed.steps],
        fault=None if rule is None else {"action": rule.action, "code": rule.code},
    )
    if rule is None:
        return await run(admitted)
    return await _FAULTS[rule.action](FaultyRequest(request, admitted, rule))


async def _error(faulty: FaultyRequest) -> web.Response:
    rule = faulty.rule
    return responses.error_response(
        RestError(rule.code, rule.error_description, rule.status or 500)
    )


async def _error_200(faulty: FaultyRequest) -> web.Response:
    return responses.error_response(RestError(faulty.rule.code, faulty.rule.error_description, 200))


async def _drop_before(_: FaultyRequest) -> web.Response:
    raise Dropped


async def _drop_after(faulty: FaultyRequest) -> web.Response:
    await run(replace(faulty.admitted, stop_after=faulty.rule.after_commands))
    raise Dropped


async def _late_commit(faulty: FaultyRequest) -> web.Response:
    task = faulty.admitted.context.portal.start(_commit_later(faulty))
    if faulty.rule.silent:
        await asyncio.wait([task])
    raise Dropped


async def _commit_later(faulty: FaultyRequest) -> None:
    portal = faulty.admitted.context.portal
    await portal.clock.sleep(faulty.rule.delay_ms / 1000)
    await run(faulty.admitted)
    portal.counts.late_commits += 1


async def _delay(faulty: FaultyRequest) -> web.Response:
    response = await run(faulty.admitted)
    await faulty.admitted.context.portal.clock.sleep(faulty.rule.delay_ms / 1000)
    return response


async def _html_502(faulty: FaultyRequest) -> web.Response:
    if faulty.rule.execute:
        await run(faulty.admitted)
    return responses.gateway_error(faulty.rule.status or 502)


async def _truncate(faulty: FaultyRequest) -> web.Response:
    return responses.truncated(await run(faulty.admitted))


async def _redirect(faulty: FaultyRequest) -> web.Response:
    return responses.redirect(faulty.rule.location or _url_by_other_name(faulty.request))


def _url_by_other_name(request: web.Request) -> str:
    """The same URL with the emulator's other host name: a client that follows it is counted."""
    other = "127.0.0.1" if request.url.host == "localhost" else "localhost"
    return str(request.url.with_host(other))


_FAULTS: dict[str, Callable[[FaultyRequest], Awaitable[web.Response]]] = {
    "error": _error,
    "error_200": _error_200,
    "drop_before": _drop_before,
    "drop_after": _drop_after,
    "late_commit": _late_commit,
    "delay": _delay,
    "html_502": _html_502,
    "truncate": _truncate,
    "redirect": _redirect,
}

"""The REST endpoint: admits requests and responds.

Checks in order: webhook code, request limit, portal mode, body, faults; then execution. A request
rejected before execution has no side effect.
"""

from aiohttp import web

from emulator.errors import RestError
from emulator.http import responses
from emulator.http.params import read
from emulator.http.webhooks import Webhook
from emulator.portal import Portal
from emulator.requests import batch
from emulator.requests.fault_injection import respond
from emulator.requests.parsed_request import ParsedRequest
from emulator.requests.path import parse_path
from emulator.requests.request_context import RequestContext
from emulator.requests.run_request import Dropped

PORTAL = web.AppKey("portal", Portal)


async def serve(request: web.Request) -> web.StreamResponse:
    """Handle any request under /rest; never raises because of client input."""
    portal = request.app[PORTAL]
    counts = portal.counts
    name, at = portal.journal.new_name(), portal.clock.wall()
    counts.count_request(request.method, at)
    code = request.path.split("/")[3:4]
    portal.journal.note("arrived", name, at, address=request.remote, code="".join(code))
    try:
        reply, error = await _admit_and_run(portal, request, name), ""
    except RestError as refusal:
        reply, error = responses.error(refusal), str(refusal.code)
    except web.HTTPRequestEntityTooLarge:
        error = "INVALID_REQUEST"
        reply = responses.error(RestError(error, "Request entity too large", 413))
    except Dropped:
        portal.journal.note("answered", name, portal.clock.wall(), status=0, error="")
        counts.count_response("dropped")
        return _drop(request)
    portal.journal.note("answered", name, portal.clock.wall(), status=reply.status, error=error)
    counts.count_response(str(reply.status))
    return reply


async def _admit_and_run(portal: Portal, request: web.Request, name: str) -> web.Response:
    webhook, method = parse_path(request.path, portal)
    _require_rate(portal, webhook, request.remote or "")
    _require_open_portal(portal)
    parsed = _parse(method, await read(request))
    context = RequestContext(portal, webhook, name)
    return await respond(request, context, parsed)


def _parse(method: str, params: dict[str, object]) -> ParsedRequest:
    commands = batch.commands(params) if method == "batch" else []
    return ParsedRequest(method, params, commands)


def _require_rate(portal: Portal, webhook: Webhook, address: str) -> None:
    now = portal.clock.now()
    rate = portal.rates()[webhook.portal]
    if not portal.buckets.admit((address, webhook.portal), rate, now, portal.settings):
        portal.counts.count_refusal(portal.clock.wall())
        raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)


def _require_open_portal(portal: Portal) -> None:
    closed = {
        "revoked": RestError("NO_AUTH_FOUND", "Wrong authorization data", 401),
        "plan_expired": RestError(
            "ACCESS_DENIED", "REST API is available only on commercial plans", 403
        ),
        "deleted": RestError(
            "PORTAL_DELETED", "Portal was deleted", portal.settings.deleted_status
        ),
        "overload": RestError("OVERLOAD_LIMIT", "REST API is blocked due to overload", 503),
    }.get(portal.settings.mode)
    if closed is not None:
        raise closed


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

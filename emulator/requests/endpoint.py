"""The REST endpoint: admits requests and responds.

Checks in order: webhook code, request limit, portal mode, body, faults; then execution. A request
rejected before execution has no side effect.
"""

from aiohttp import web

from emulator.errors import RestError
from emulator.http import responses
from emulator.http.params import read_params
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
    """Respond to any request under /rest; raises no exception whatever a client sends."""
    portal = request.app[PORTAL]
    counts = portal.counts
    request_id = portal.journal.new_request_id()
    arrived_at = portal.clock.wall()
    counts.count_request(request.method, arrived_at)
    code = "".join(request.path.split("/")[3:4])  # of /rest/{user}/{code}/…, if the path has one
    portal.journal.note("arrived", request_id, arrived_at, address=request.remote, code=code)
    try:
        response, error = await _admit_and_run(portal, request, request_id), ""
    except RestError as rejection:
        response, error = responses.error_response(rejection), str(rejection.code)
    except web.HTTPRequestEntityTooLarge:
        error = "INVALID_REQUEST"
        response = responses.error_response(RestError(error, "Request entity too large", 413))
    except Dropped:
        portal.journal.note("answered", request_id, portal.clock.wall(), status=0, error="")
        counts.count_response("dropped")
        return _drop(request)
    status = response.status
    portal.journal.note("answered", request_id, portal.clock.wall(), status=status, error=error)
    counts.count_response(str(status))
    return response


async def _admit_and_run(portal: Portal, request: web.Request, request_id: str) -> web.Response:
    """Check the request in the documented order and execute it; raises RestError, Dropped."""
    webhook, method = parse_path(request.path, portal)
    _require_free_bucket(portal, webhook, request.remote or "")
    _require_open_portal(portal)
    parsed = _parse(method, await read_params(request))
    context = RequestContext(portal, webhook, request_id)
    return await respond(request, context, parsed)


def _parse(method: str, params: dict[str, object]) -> ParsedRequest:
    commands = batch.parse_commands(params) if method == "batch" else []
    return ParsedRequest(method, params, commands)


def _require_free_bucket(portal: Portal, webhook: Webhook, address: str) -> None:
    """Raise RestError if the request exceeds the request limit; else it fills the bucket."""
    now = portal.clock.now()
    rate = portal.rates()[webhook.portal]
    if not portal.buckets.admit((address, webhook.portal), rate, now, portal.settings):
        portal.counts.count_refusal(portal.clock.wall())
        raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)


def _require_open_portal(portal: Portal) -> None:
    """Raise RestError if the portal's mode rejects all calls."""
    rejection = {
        "revoked": RestError("NO_AUTH_FOUND", "Wrong authorization data", 401),
        "plan_expired": RestError(
            "ACCESS_DENIED", "REST API is available only on commercial plans", 403
        ),
        "deleted": RestError(
            "PORTAL_DELETED", "Portal was deleted", portal.settings.deleted_status
        ),
        "overload": RestError("OVERLOAD_LIMIT", "REST API is blocked due to overload", 503),
    }.get(portal.settings.mode)
    if rejection is not None:
        raise rejection


def _drop(request: web.Request) -> web.Response:
    """Abort the connection; the response that aiohttp demands reaches no client."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

"""The web application: REST calls, the control API and the board."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from emulator.board import pages
from emulator.control import configuration, items, leads, statistics
from emulator.control.json_body import problem
from emulator.http.cross_site import Guard
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL, serve

_BODY_MAX_BYTES = 16 * 1024 * 1024


def build(portal: Portal) -> web.Application:
    """The application that serves one portal."""
    app = web.Application(
        client_max_size=_BODY_MAX_BYTES, middlewares=[_cross_site_guard(Guard.from_env())]
    )
    app[PORTAL] = portal
    app.router.add_route("*", "/rest", serve)
    app.router.add_route("*", "/rest/{tail:.*}", serve)
    app.add_routes(_control_routes())
    app.add_routes(pages.routes())
    app.on_shutdown.append(_stop_portal)
    return app


def _cross_site_guard(guard: Guard) -> Middleware:
    """Reject requests that pages of other sites send: under /rest, even a GET may write."""

    @web.middleware
    async def reject_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_page = not request.path.startswith("/rest")
        if refusal := guard.refusal(request, is_page=is_page):
            return problem(refusal.status, refusal.detail)
        return await handler(request)

    return reject_cross_site


def _control_routes() -> list[web.RouteDef]:
    return [
        web.get("/_emulator/settings", configuration.settings),
        web.put("/_emulator/settings", configuration.change_settings),
        web.get("/_emulator/faults", configuration.faults),
        web.post("/_emulator/faults", configuration.add_faults),
        web.delete("/_emulator/faults", configuration.clear_faults),
        web.post("/_emulator/reset", configuration.reset),
        web.get("/_emulator/leads", leads.leads),
        web.patch("/_emulator/leads/{id}", leads.move),
        web.get("/_emulator/items/{type}", items.items),
        web.get("/_emulator/items/{type}/{id}", items.item),
        web.patch("/_emulator/items/{type}/{id}", items.change),
        web.delete("/_emulator/items/{type}/{id}", items.delete),
        web.get("/_emulator/bin", items.bin_content),
        web.post("/_emulator/bin/{number}", items.restore),
        web.get("/_emulator/calls", statistics.calls),
        web.get("/_emulator/duplicates", statistics.duplicates),
        web.get("/_emulator/phones", statistics.phones),
        web.get("/_emulator/rate", statistics.rate),
        web.get("/_emulator/totals", statistics.totals),
    ]


async def _stop_portal(app: web.Application) -> None:
    await app[PORTAL].stop()

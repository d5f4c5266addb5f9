"""The web application: REST calls, the control API and the board."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from emulator.board import pages
from emulator.control import knobs, ledger, oracles
from emulator.control.body import problem
from emulator.cross_site import Guard
from emulator.door import PORTAL, serve
from emulator.portal import Portal

_LARGEST_BODY = 16 * 1024 * 1024


def build(portal: Portal) -> web.Application:
    """The application over one portal."""
    app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_guarded(Guard.read())])
    app[PORTAL] = portal
    app.router.add_route("*", "/rest", serve)
    app.router.add_route("*", "/rest/{tail:.*}", serve)
    app.add_routes(_control())
    app.add_routes(pages.routes())
    app.on_shutdown.append(_stop)
    return app


def _guarded(guard: Guard) -> Middleware:
    """Keep other sites' pages in the same browser from using this portal; a GET of REST writes."""

    @web.middleware
    async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_page = not request.path.startswith("/rest")
        if refusal := guard.refusal(request, is_page=is_page):
            return problem(refusal.status, refusal.detail)
        return await handler(request)

    return refuse_foreign


def _control() -> list[web.RouteDef]:
    return [
        web.get("/_emulator/settings", knobs.settings),
        web.put("/_emulator/settings", knobs.change_settings),
        web.get("/_emulator/faults", knobs.faults),
        web.post("/_emulator/faults", knobs.add_faults),
        web.delete("/_emulator/faults", knobs.clear_faults),
        web.post("/_emulator/reset", knobs.reset),
        web.get("/_emulator/leads", ledger.leads),
        web.patch("/_emulator/leads/{id}", ledger.move),
        web.get("/_emulator/calls", oracles.calls),
        web.get("/_emulator/duplicates", oracles.duplicates),
        web.get("/_emulator/phones", oracles.phones),
        web.get("/_emulator/rate", oracles.rate),
        web.get("/_emulator/totals", oracles.totals),
    ]


async def _stop(app: web.Application) -> None:
    await app[PORTAL].stop()

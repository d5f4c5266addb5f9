"""The edge as an aiohttp application."""

from pathlib import Path

from aiohttp import web

from local.edge.config import ConfigFile
from local.edge.health import Health
from local.edge.proxy import Proxy


def build(config_path: Path) -> web.Application:
    """Everything the edge serves; functions are looked up in this file at each request."""
    config = ConfigFile(config_path)
    health, proxy = Health(config), Proxy(config)
    app = web.Application()
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    app.router.add_get("/healthz", health.handle)
    app.router.add_route("*", "/{anything:.*}", proxy.handle)
    return app

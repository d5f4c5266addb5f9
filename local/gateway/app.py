"""The edge as an aiohttp application."""

from pathlib import Path

from aiohttp import web

from leadline.runtime.http.cross_site import Guard
from local.deployments import Deployments
from local.gateway.config import ConfigFile
from local.gateway.front_page import handle as front_page
from local.gateway.functions import Functions
from local.gateway.health import Health
from local.gateway.openfaas.api import Api, refuse_api, refuse_async
from local.gateway.openfaas.api_config import ApiConfig
from local.gateway.proxy import Proxy
from local.gateway.request_log import HEALTH
from local.gateway.responses import cross_site_guard, handle_expect_header, http_errors_as_problems


def build(config_path: Path) -> web.Application:
    """The application; functions are looked up in `config_path` at each request."""
    config = ConfigFile(config_path)
    api = ApiConfig.read()
    deployments = Deployments(api.deployments) if api else None
    functions = Functions(config, deployments)
    health = Health(config, functions)
    proxy = Proxy(functions)
    app = web.Application(middlewares=[http_errors_as_problems, cross_site_guard(Guard.from_env())])
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    app.router.add_get("/", front_page)
    app.router.add_get(HEALTH, health.handle)
    if api and deployments:
        Api(api, functions, deployments).add_to(app.router)
    else:
        app.router.add_route(
            "*", "/system{rest:(/.*)?}", refuse_api, expect_handler=handle_expect_header
        )
    app.router.add_route(
        "*", "/async-function/{anything:.*}", refuse_async, expect_handler=handle_expect_header
    )
    app.router.add_route("*", "/{anything:.*}", proxy.handle, expect_handler=handle_expect_header)
    return app

"""The endpoints of the API."""

import platform as machine
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from leadline import __version__
from local.deployments import Deployments
from local.gateway.functions import Functions
from local.gateway.openfaas import access
from local.gateway.openfaas.api_config import ApiConfig
from local.gateway.openfaas.deployed_functions import DeployedFunctions
from local.gateway.openfaas.deployment import Deployment
from local.gateway.openfaas.platform import LogLine, PlatformDown
from local.gateway.openfaas.requests import LogQuery, Refused, body_of, check_namespace
from local.gateway.openfaas.secret_files import NamedSecret, NewSecret, SecretFiles
from local.gateway.responses import handle_expect_header, problem_response
from local.gateway.routes import NAMESPACE

#: Log streams open at once; followed logs stay open until the client disconnects.
STREAMS_MAX = 64

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Removal(BaseModel):
    name: str = Field(alias="functionName")
    namespace: str = ""


class _Scale(BaseModel):
    replicas: int


class Api:
    """GET, POST, PUT and DELETE below /system."""

    def __init__(self, config: ApiConfig, functions: Functions, deployments: Deployments) -> None:
        self._password = config.password
        self._secrets = SecretFiles(config.secrets, config.secrets_mode)
        self._platform = config.platform
        self._deployed = DeployedFunctions(functions, deployments, self._secrets, self._platform)
        self._open_streams = 0

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes; unknown paths and methods get errors in the same format."""
        access.ensure_password(self._password)
        paths: dict[str, Mapping[str, Handler]] = {
            "/system/functions": {
                "GET": self._list,
                "POST": self._create,
                "PUT": self._update,
                "DELETE": self._remove,
            },
            "/system/function/{name}": {"GET": self._describe},
            "/system/scale-function/{name}": {"POST": self._scale},
            "/system/secrets": {
                "GET": self._list_secrets,
                "POST": self._create_secret,
                "PUT": self._update_secret,
                "DELETE": self._remove_secret,
            },
            "/system/logs": {"GET": self._logs},
            "/system/info": {"GET": self._info},
            "/system/namespaces": {"GET": self._namespaces},
            # The name may be missing: faas-cli creates a namespace by a POST without one.
            "/system/namespace/{name:[^/]*}": {
                "GET": self._namespace,
                "POST": self._change_namespace,
                "PUT": self._change_namespace,
                "DELETE": self._change_namespace,
            },
            "/system{rest:(/.*)?}": {},
        }
        for path, methods in paths.items():
            router.add_route("*", path, self._guarded(methods), expect_handler=handle_expect_header)

    def _guarded(self, methods: Mapping[str, Handler]) -> Handler:
        """A handler of all methods of a path, which checks login and namespace first."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not access.is_allowed(request.headers.get("Authorization"), self._password):
                detail = f"Log in as {access.USER}; docs/faas-cli.md says where the password is."
                challenge = {"WWW_Authenticate": access.CHALLENGE}
                return problem_response(HTTPStatus.UNAUTHORIZED, detail, **challenge)
            handler = methods.get("GET" if request.method == "HEAD" else request.method)
            if handler is None:
                return _not_served(methods)
            try:
                check_namespace(request.query.get("namespace", ""))
                return await handler(request)
            except Refused as refused:
                return problem_response(refused.status, refused.detail)
            except PlatformDown as error:
                return problem_response(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.", Retry_After="1"
                )

        return guarded

    # Functions

    async def _list(self, _request: web.Request) -> web.Response:
        return _json(await self._deployed.all())

    async def _describe(self, request: web.Request) -> web.Response:
        is_usage_wanted = request.query.get("usage") == "1"
        return _json(await self._deployed.describe(request.match_info["name"], is_usage_wanted))

    async def _create(self, request: web.Request) -> web.Response:
        deployment = await body_of(request, Deployment)
        check_namespace(deployment.namespace)
        await self._deployed.deploy(deployment)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _update(self, request: web.Request) -> web.Response:
        deployment = await body_of(request, Deployment)
        check_namespace(deployment.namespace)
        # On 404 faas-cli creates the function.
        self._deployed.check_served(deployment.service)
        await self._deployed.deploy(deployment)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _remove(self, request: web.Request) -> web.Response:
        removal = await body_of(request, _Removal)
        check_namespace(removal.namespace)
        await self._deployed.remove(removal.name)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _scale(self, request: web.Request) -> web.Response:
        self._deployed.check_served(request.match_info["name"])
        if (await body_of(request, _Scale)).replicas != 1:
            raise Refused(HTTPStatus.BAD_REQUEST, self._platform.scaling)
        return web.Response(status=HTTPStatus.ACCEPTED)

    # Secrets

    async def _list_secrets(self, _request: web.Request) -> web.Response:
        return _json([{"name": secret, "namespace": NAMESPACE} for secret in self._secrets.names()])

    async def _create_secret(self, request: web.Request) -> web.Response:
        secret = await _secret(request)
        if self._secrets.exists(secret.name):
            raise Refused(HTTPStatus.CONFLICT, f"The secret {secret.name} exists already.")
        self._secrets.put(secret.name, secret.content)
        return web.Response(status=HTTPStatus.CREATED)

    async def _update_secret(self, request: web.Request) -> web.Response:
        secret = await _secret(request)
        self._check_secret(secret.name)
        self._secrets.put(secret.name, secret.content)
        return web.Response(status=HTTPStatus.OK)

    async def _remove_secret(self, request: web.Request) -> web.Response:
        secret = await body_of(request, NamedSecret)
        check_namespace(secret.namespace)
        self._check_secret(secret.name)
        self._secrets.remove(secret.name)
        return web.Response(status=HTTPStatus.OK)

    def _check_secret(self, name: str) -> None:
        if not self._secrets.exists(name):
            raise Refused(HTTPStatus.NOT_FOUND, f"There is no secret {name}.")

    # The rest

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        query = LogQuery.parse(request)
        self._deployed.check_served(query.name)
        if self._open_streams >= STREAMS_MAX:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many logs are being read.")
        self._open_streams += 1
        try:
            return await self._stream(request, query)
        finally:
            self._open_streams -= 1

    async def _stream(self, request: web.Request, query: LogQuery) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        if request.method != "HEAD":
            lines = self._platform.logs(
                query.name, query.since, query.tail, is_followed=query.is_followed
            )
            async for line in lines:
                await response.write(_log_message(query.name, line))
        await response.write_eof()
        return response

    async def _info(self, _request: web.Request) -> web.Response:
        version = {"release": __version__, "sha": ""}
        provider = {
            "provider": "leadline-local",
            "orchestration": self._platform.orchestration,
            "version": version,
        }
        return _json({"provider": provider, "version": version, "arch": machine.machine()})

    async def _namespaces(self, _request: web.Request) -> web.Response:
        return _json([NAMESPACE])

    async def _namespace(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != NAMESPACE:
            raise Refused(HTTPStatus.NOT_FOUND, f"There is one namespace here, {NAMESPACE}.")
        return _json({"name": NAMESPACE, "labels": {}, "annotations": {}})

    async def _change_namespace(self, _request: web.Request) -> web.Response:
        """501: as on the Community Edition, namespaces are not made by faas-cli."""
        detail = f"There is one namespace here, {NAMESPACE}; others can't be made."
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, detail)


async def refuse_api(_request: web.Request) -> web.Response:
    """Answer /system in a run without LEADLINE_GATEWAY: not implemented."""
    detail = "This run has no OpenFaaS API; with docker compose, add local/compose.faas-cli.yml."
    return problem_response(HTTPStatus.NOT_IMPLEMENTED, detail)


async def refuse_async(_request: web.Request) -> web.Response:
    """Answer /async-function: not implemented; docs/faas-cli.md, "Asynchronous calls", says why."""
    detail = (
        "There are no asynchronous calls: call /function/<name>. A write is answered as soon as it"
        " is stored, and GET /users/{id} shows its outcome; docs/faas-cli.md says more."
    )
    return problem_response(HTTPStatus.NOT_IMPLEMENTED, detail)


async def _secret(request: web.Request) -> NewSecret:
    secret = await body_of(request, NewSecret)
    check_namespace(secret.namespace)
    if not secret.content:
        raise Refused(HTTPStatus.BAD_REQUEST, "value: a secret can't be empty.")
    return secret


def _not_served(methods: Mapping[str, Handler]) -> web.Response:
    if not methods:
        return problem_response(HTTPStatus.NOT_FOUND, "This part of the API is not supported.")
    allow = ", ".join(methods)
    return problem_response(
        HTTPStatus.METHOD_NOT_ALLOWED, f"This path supports {allow}.", Allow=allow
    )


def _log_message(name: str, line: LogLine) -> bytes:
    message = {
        "name": name,
        "namespace": NAMESPACE,
        "instance": line.instance,
        "timestamp": line.at,
        "text": line.text,
    }
    return orjson.dumps(message) + b"\n"


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")

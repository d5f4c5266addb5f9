"""Deploys and removes functions, and reports their status to the API."""

import asyncio
import datetime as dt
from http import HTTPStatus
from typing import Any

import aiohttp

from local.deployments import Deployments, Record
from local.gateway.functions import Functions
from local.gateway.openfaas.deployment import Deployment
from local.gateway.openfaas.platform import Instances, Platform
from local.gateway.openfaas.requests import Refused
from local.gateway.openfaas.secret_files import SecretFiles
from local.gateway.routes import NAMESPACE

_READY_WITHIN = aiohttp.ClientTimeout(total=1)
#: Set by the run: another value would make the function or its secrets unreachable.
_RESERVED = frozenset(
    {"HOST", "PORT", "LEADLINE_DEPLOYMENTS", "LEADLINE_RUN", "LEADLINE_SECRETS_DIR"}
)


class DeployedFunctions:
    """Every function of the run; one change at a time."""

    def __init__(
        self,
        functions: Functions,
        deployments: Deployments,
        secrets: SecretFiles,
        platform: Platform,
    ) -> None:
        self._functions = functions
        self._deployments = deployments
        self._secrets = secrets
        self._platform = platform
        self._lock = asyncio.Lock()

    async def all(self) -> list[dict[str, Any]]:
        """The FunctionStatus of each served function."""
        instances = await self._platform.instances()
        names = [name for name in self._functions.served if name in instances]
        return list(await asyncio.gather(*(self._status(name, instances[name]) for name in names)))

    async def describe(self, name: str, is_usage_wanted: bool) -> dict[str, Any]:  # noqa: FBT001
        """FunctionStatus of this function.

        Raises:
            Refused: 404, it is not served.
        """
        self.check_served(name)
        instances = await self._platform.instances()
        if name not in instances:
            raise Refused(HTTPStatus.NOT_FOUND, f"{name} has no instance.")
        status = await self._status(name, instances[name])
        usage = await self._platform.usage(name) if is_usage_wanted else None
        if usage:
            status["usage"] = {"cpu": usage.millicores, "totalMemoryBytes": usage.memory_bytes}
        return status

    def check_served(self, name: str) -> None:
        """Check that this function is served.

        Raises:
            Refused: 404, it is unknown or was removed.
        """
        if name not in self._functions.served:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no function of this name.")

    async def deploy(self, deployment: Deployment) -> None:
        """Store the deployment and start the function with it; it is ready when /_/ready answers.

        Raises:
            Refused: 400, this run does not support it.
        """
        self._require_deployable(deployment)
        if reason := await self._platform.refusal(deployment.image):
            raise _refused(reason)
        name = deployment.service
        async with self._lock:
            now = dt.datetime.now(dt.UTC).isoformat()
            stored = deployment.model_dump(by_alias=True, exclude_none=True)
            self._deployments.save(name, Record(deployment=stored, created_at=now))
            await self._platform.restart(name)
            self._functions.refresh(name)

    async def remove(self, name: str) -> None:
        """Stop the function and no longer serve it, even after a restart of the run.

        Raises:
            Refused: 404, it is not served.
        """
        async with self._lock:
            self.check_served(name)
            now = dt.datetime.now(dt.UTC).isoformat()
            self._deployments.save(name, Record(deployment=None, created_at=now))
            self._functions.refresh(name)
            await self._platform.stop(name)

    def _require_deployable(self, deployment: Deployment) -> None:
        """Raise Refused if this run cannot run the deployment."""
        names = ", ".join(self._functions.configured)
        name, image = deployment.service, function_of(deployment.image)
        if image not in self._functions.configured:
            raise _refused(
                f"The image {deployment.image} is not one of this run, which has {names}."
            )
        if name not in self._functions.configured:
            raise _refused(f"There is no function {name} in this run, which has {names}.")
        if image != name:
            raise _refused(f"The image {deployment.image} belongs to {image}, not to {name}.")
        reserved = _RESERVED & deployment.env_vars.keys()
        if reserved:
            raise _refused(f"The local run itself sets {', '.join(sorted(reserved))}.")
        missing_secrets = [
            secret for secret in deployment.secrets if not self._secrets.exists(secret)
        ]
        if missing_secrets:
            raise _refused(
                f"There is no secret {missing_secrets[0]}; create it with faas-cli secret create."
            )

    async def _status(self, name: str, instances: Instances) -> dict[str, Any]:
        """FunctionStatus of the API."""
        record = self._deployments.find(name)
        is_ready = await _is_ready(self._functions.configured[name])
        return {
            "image": instances.image,
            **_deployment_fields(record),
            "name": name,
            "namespace": NAMESPACE,
            "invocationCount": self._functions.calls[name],
            "replicas": instances.count,
            "availableReplicas": instances.count if is_ready else 0,
            "createdAt": record.created_at if record else instances.since.isoformat(),
        }


def _deployment_fields(record: Record | None) -> dict[str, Any]:
    """The fields of the deployment; empty if the API has not deployed the function."""
    if record is None or record.deployment is None:
        return {}
    deployment = record.deployment
    return {key: value for key, value in deployment.items() if key != "service"}


def function_of(image: str) -> str:
    """The function of an image, the last part of its path: ghcr.io/acme/create-user:0.1.0."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _refused(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, detail)


async def _is_ready(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=_READY_WITHIN) as session,
            session.get(f"{url}/_/ready", allow_redirects=False) as answer,
        ):
            return answer.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False

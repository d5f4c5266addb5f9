"""Functions as containers of a docker compose project, through the Docker Engine's API.

A container's environment can't change, so a deployment replaces the container with a new one, made
from compose's configuration and the deployment.
"""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer

from local.deployments import Deployments
from local.gateway.openfaas.platform import Instances, LogLine, PlatformDown, Usage

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
#: Label with compose's environment, from which the next deployment starts.
_COMPOSE_ENVIRONMENT = "leadline.environment"
_TIMEOUT = aiohttp.ClientTimeout(total=20)
#: More than a function needs to finish its requests.
_STOP_WITHIN_S = 10
_REPLACED = "replaced"


class Containers:
    """The platform of a compose project."""

    orchestration = "docker"
    scaling = "docker compose sets the replicas: up -d --scale create-user=2 starts two."

    def __init__(self, project: str, deployments: Path) -> None:
        self._project = project
        self._deployments = Deployments(deployments)

    async def refusal(self, image: str) -> str | None:
        """Why this image can't run: it must exist, since no image is pulled."""
        async with _engine() as docker:
            try:
                await docker.images.inspect(image)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return (
                        f"There is no image {image} on this engine; build it with faas-cli build."
                    )
                raise PlatformDown(f"Docker rejects it: {error.message}") from error
        return None

    async def restart(self, name: str) -> None:
        """Replace each container."""
        record = self._deployments.find(name)
        deployment = record.deployment if record else None
        async with _engine() as docker:
            for container in await self._find(docker, name):
                await _replace(docker, container, deployment or {})

    async def stop(self, name: str) -> None:
        """Stop the containers and keep them, for a deployment to start from."""
        async with _engine() as docker:
            for container in await self._find(docker, name):
                await container.stop(t=_STOP_WITHIN_S, timeout=_TIMEOUT)

    async def instances(self) -> dict[str, Instances]:
        """The containers of each service."""
        instances: dict[str, Instances] = {}
        async with _engine() as docker:
            for container in await self._find(docker):
                service = container["Labels"][_SERVICE]
                since = dt.datetime.fromtimestamp(container["Created"], dt.UTC)
                known_instances = instances.get(service)
                count = known_instances.count + 1 if known_instances else 1
                instances[service] = Instances(container["Image"], count, since)
        return instances

    async def usage(self, name: str) -> Usage | None:
        """The usage of all containers together, as `docker stats` counts it."""
        async with _engine() as docker:
            running = [
                container
                for container in await self._find(docker, name)
                if container["State"] == "running"
            ]
            samples = await asyncio.gather(
                *(container.stats(stream=False) for container in running)
            )
        used = [_usage_of(sample[0]) for sample in samples]
        if not used:
            return None
        return Usage(sum(memory for memory, _ in used), sum(cpu for _, cpu in used))

    async def logs(
        self, name: str, since: dt.datetime | None, tail: int | None, *, is_followed: bool
    ) -> AsyncIterator[LogLine]:
        """The lines of all containers by time; followed, in order of arrival."""
        options = {"since": since.timestamp() if since else 0, "tail": tail or "all"}
        async with _engine() as docker:
            containers = await self._find(docker, name)
            if is_followed:
                async for line in _merge(containers, options):
                    yield line
                return
            texts = await asyncio.gather(
                *(_history(container, options) for container in containers)
            )
        for line in sorted((line for lines in texts for line in lines), key=lambda line: line.at):
            yield line

    async def _find(self, docker: aiodocker.Docker, name: str = "") -> list[DockerContainer]:
        labels = [f"{_PROJECT}={self._project}", "com.docker.compose.oneoff=False"]
        if name:
            labels.append(f"{_SERVICE}={name}")
        return await docker.containers.list(all=1, filters=json.dumps({"label": labels}))


class _engine:  # noqa: N801 - used as a context, like contextlib's
    """The engine of DOCKER_HOST or the default socket; its errors become PlatformDown."""

    async def __aenter__(self) -> aiodocker.Docker:
        try:
            self._docker = aiodocker.Docker(timeout=_TIMEOUT)
        except ValueError as error:
            raise PlatformDown("There is no Docker Engine here") from error
        return self._docker

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        await self._docker.close()
        if isinstance(error, aiodocker.DockerError):
            raise PlatformDown(f"Docker rejects it: {error.message}") from error
        if isinstance(error, (aiohttp.ClientError, TimeoutError)):
            raise PlatformDown("Docker does not answer") from error


async def _replace(
    docker: aiodocker.Docker, old: DockerContainer, deployment: dict[str, Any]
) -> None:
    """Replace a container. If the new one can't be started, the old one keeps running."""
    description = await old.show()
    name = description["Name"].lstrip("/")
    await old.rename(f"{name}-{_REPLACED}")
    new: DockerContainer | None = None
    try:
        new = await docker.containers.create(_config(description, deployment), name=name)
        await new.start()
    except aiodocker.DockerError:
        if new is not None:
            await new.delete(force=True)
        await old.rename(name)
        raise
    await old.stop(t=_STOP_WITHIN_S, timeout=_TIMEOUT)
    await old.delete(force=True)


def _config(description: dict[str, Any], deployment: dict[str, Any]) -> dict[str, Any]:
    """The new container's configuration, from that of the old one."""
    config = dict(description["Config"])
    compose_environment = json.loads(
        config["Labels"].get(_COMPOSE_ENVIRONMENT) or json.dumps(config["Env"])
    )
    variables = dict(variable.split("=", 1) for variable in compose_environment)
    environment = variables | deployment.get("envVars", {})
    networks = description["NetworkSettings"]["Networks"]
    # The default hostname is the old container's id.
    config.pop("Hostname", None)
    return {
        **config,
        "Image": deployment.get("image", config["Image"]),
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Labels": {**config["Labels"], _COMPOSE_ENVIRONMENT: json.dumps(compose_environment)},
        "HostConfig": description["HostConfig"],
        "NetworkingConfig": {
            "EndpointsConfig": {
                network: {"Aliases": [config["Labels"][_SERVICE]]} for network in networks
            }
        },
    }


def _usage_of(sample: dict[str, Any]) -> tuple[int, float]:
    """Bytes and millicores, as `docker stats` counts them."""
    memory, now, before = sample["memory_stats"], sample["cpu_stats"], sample["precpu_stats"]
    bytes_ = memory.get("usage", 0) - memory.get("stats", {}).get("inactive_file", 0)
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    total = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cores = now.get("online_cpus", 1) * used / total if total > 0 else 0.0
    return bytes_, 1000 * cores


async def _history(container: DockerContainer, options: dict[str, Any]) -> list[LogLine]:
    texts = await container.log(
        stdout=True, stderr=True, timestamps=True, timeout=_TIMEOUT, **options
    )
    return [_line(container, text) for text in texts]


async def _merge(
    containers: list[DockerContainer], options: dict[str, Any]
) -> AsyncIterator[LogLine]:
    """The lines of all containers as they arrive."""
    lines: asyncio.Queue[LogLine] = asyncio.Queue(1000)

    async def follow(container: DockerContainer) -> None:
        texts = container.log(
            stdout=True, stderr=True, follow=True, timestamps=True, timeout=None, **options
        )
        async for text in texts:
            await lines.put(_line(container, text))

    tasks = [asyncio.create_task(follow(container)) for container in containers]
    try:
        while True:
            yield await lines.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _line(container: DockerContainer, text: str) -> LogLine:
    """`2026-01-31T12:00:00.123456789Z text`, as the engine writes it."""
    timestamp, _, message = text.rstrip("\n").partition(" ")
    return LogLine(dt.datetime.fromisoformat(timestamp), container.id[:12], message)

"""faas-cli against the compose system, with the file that gives the edge the engine's socket."""

import dataclasses
import json
import os
from collections.abc import Iterator

import pytest
import requests

from tests.containers.engine import CHECKOUT, Compose, docker, inspect
from tests.e2e.faas_cli import FaasCli

pytestmark = pytest.mark.containers

NAME = "list-users"
WITH_SOCKET = CHECKOUT / "local" / "compose.faas-cli.yml"


@pytest.fixture(scope="module")
def cli(compose: Compose) -> Iterator[FaasCli]:
    """faas-cli, logged in to the edge; edge and function are restored afterwards."""
    assert requests.get(f"{compose.edge}/system/functions", timeout=60).status_code == 501
    socket = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock"
    with_socket = dataclasses.replace(compose, env={**compose.env, "DOCKER_SOCKET": socket})
    with_socket.run("-f", str(WITH_SOCKET), "up", "-d", "--wait", "--no-deps", "edge", NAME)
    try:
        password = compose.run("exec", "-T", "edge", "cat", "/var/lib/gateway/password")
        yield FaasCli(compose.edge, password)
    finally:
        compose.run("up", "-d", "--wait", "--no-deps", "--force-recreate", "edge", NAME)
        docker("volume", "rm", f"{compose.project}_gateway")


@pytest.mark.slow("replaces a container")
def test_a_deployed_function_is_a_new_container_with_its_environment(
    compose: Compose, cli: FaasCli
) -> None:
    (before,) = compose.containers(NAME)
    image = compose.images()[NAME]
    secrets = ["api-keys", "database-url-reader"]

    def deploy(env: dict[str, str]) -> None:
        body = {"service": NAME, "image": image, "envVars": env, "secrets": secrets}
        assert cli.send("PUT", "/system/functions", json.dumps(body)).status_code == 202
        cli.await_ready(NAME)

    deploy({"LEADLINE_AUTH": "on"})
    (after,) = compose.containers(NAME)
    assert after != before
    assert inspect(after)["Config"]["Image"] == image
    description = cli.describe(NAME)
    assert (description["image"], description["replicas"]) == (image, 1)
    assert description["usage"]["totalMemoryBytes"] > 1024 * 1024
    assert cli.invoke(NAME) == 401
    replaced_key = compose.run("exec", "-T", "edge", "cat", "/var/openfaas/secrets/api-keys")
    try:
        assert cli.put_secret("PUT", "api-keys", "a-key-that-was-rotated-by-faas-cli") == 200
        assert cli.invoke(NAME, key=replaced_key) == 403
        assert cli.invoke(NAME, key="a-key-that-was-rotated-by-faas-cli") == 200
    finally:
        cli.put_secret("PUT", "api-keys", replaced_key)
    # The next deployment drops the settings of an earlier one.
    deploy({})
    assert cli.invoke(NAME) == 200


def test_a_missing_image_is_refused(cli: FaasCli) -> None:
    body = {"service": NAME, "image": f"nowhere.example/{NAME}:1"}
    answer = cli.send("PUT", "/system/functions", json.dumps(body))
    assert answer.status_code == 400
    assert "nowhere.example" in answer.json()["detail"]
    assert cli.invoke(NAME) == 200


def test_an_image_that_cannot_be_started_replaces_nothing(compose: Compose, cli: FaasCli) -> None:
    without_python = f"broken.example/{NAME}:1"
    docker("tag", compose.images()["redis"], without_python)
    before = compose.containers(NAME)
    try:
        body = {"service": NAME, "image": without_python}
        answer = cli.send("PUT", "/system/functions", json.dumps(body))
    finally:
        docker("image", "rm", without_python)
    assert answer.status_code >= 500
    assert "python" in answer.json()["detail"]
    assert compose.containers(NAME) == before
    assert cli.invoke(NAME) == 200


@pytest.mark.slow("removes and starts a container")
def test_a_removed_function_is_gone_until_it_is_deployed(compose: Compose, cli: FaasCli) -> None:
    assert cli.remove(NAME).status_code == 202
    assert cli.invoke(NAME) == 404
    assert NAME not in cli.names()
    assert inspect(compose.containers(NAME)[0])["State"]["Status"] == "exited"
    body = {"service": NAME, "image": compose.images()[NAME]}
    assert cli.send("POST", "/system/functions", json.dumps(body)).status_code == 202
    cli.await_ready(NAME)
    assert cli.invoke(NAME) == 200


def test_logs_come_from_the_engine(cli: FaasCli) -> None:
    path = "/system/logs?follow={}&name=create-user"
    lines = [json.loads(line) for line in cli.ask(path.format("false")).iter_lines()]
    assert any("function starts" in line["text"] for line in lines)
    assert lines == sorted(lines, key=lambda line: line["timestamp"])
    with cli.ask(f"{path.format('true')}&tail=1", stream=True) as followed:
        assert json.loads(next(followed.iter_lines()))["name"] == "create-user"

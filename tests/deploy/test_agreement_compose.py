"""docker compose runs the same images with the same commands, settings and routes as a cluster."""

import json
import re
from urllib.parse import urlsplit

import pytest

from leadline.settings import Settings
from tests.deploy.manifests import compose, functions, routes_env, stack, workloads

#: Read by the connector, by the edge and by the command line themselves.
READ_OUTSIDE_OF_SETTINGS = {"LEADLINE_ROUTES", "LEADLINE_EDGE", "LEADLINE_STATE"}
RUNNING = {**functions(), **workloads()}


def _without_variables(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", RUNNING)
def test_compose_runs_the_same_image_as_a_cluster(name: str) -> None:
    service, body = compose()[name], RUNNING[name].body
    assert _without_variables(service["image"]) == body["image"]
    command = body.get("command", [])
    if command:
        # Further arguments are addresses or options, which differ.
        assert service["command"][: len(command)] == command
    else:
        assert "command" not in service


def test_every_setting_in_compose_is_read() -> None:
    read = {f"LEADLINE_{name.upper()}" for name in Settings.model_fields}
    for name, service in compose().items():
        environment = service.get("environment") or {}
        ours = {key for key in environment if key.startswith("LEADLINE_")}
        assert ours <= read | READ_OUTSIDE_OF_SETTINGS, name


def test_each_queue_goes_to_its_function() -> None:
    routes = json.loads(compose()["connector"]["environment"]["LEADLINE_ROUTES"])
    assert {queue: _function_at(url) for queue, url in routes.items()} == {
        queue: _function_at(url) for queue, url in routes_env("knative").items()
    }


def _function_at(url: str) -> str:
    """The function's name: the first part of the host."""
    return (urlsplit(url).hostname or "").partition(".")[0]


def test_all_functions_together_stay_within_the_connections_of_composes_postgres() -> None:
    services = compose()
    (limit,) = re.findall(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))
    connections = sum(
        int(services[name]["environment"]["THREADS"]) + 1  # which marks confirmed events
        for name, function in stack().functions.items()
        if "DATABASE_URL_FILE" in function.environment
    )
    # One replica of each by default; --scale may double them.
    functions_take = 2 * connections
    others_take = 2  # the edge and a command
    reserved = 3  # superuser_reserved_connections
    assert functions_take + others_take + reserved <= int(limit)

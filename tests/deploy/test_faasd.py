"""faasd runs the processes as the clusters do, and its proxy leads each call to its function."""

import json
import re
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from local.gateway.routes import Refusal, Target, route
from tests.deploy.manifests import CHECKOUT, DEPLOY, processes, routes_env, workloads
from tests.deploy.test_routes import METHODS, OPERATORS_PATHS, PATHS, PATHS_OF_THE_GATEWAY

#: The end of faasd's docker-compose.yaml, which the guide appends.
_TEXT = "services:\n" + (DEPLOY / "faasd/services.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.load(_TEXT, yaml.CSafeLoader)["services"]
_GUIDE = (CHECKOUT / "docs/deploy/faasd.md").read_text(encoding="utf-8")


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(variable.split("=", 1) for variable in service.get("environment", ()))


@pytest.mark.parametrize("part", ["worker", "connector", "relay"])
def test_a_service_runs_what_a_pod_runs_and_reads_the_secrets_that_are_handed_over(
    part: str,
) -> None:
    service, pod = SERVICES[f"leadline-{part}"], workloads()[part]
    assert service["image"] == processes().image
    arguments = [
        "http://gateway:8080/function/outbox-relay" if word == "$(LEADLINE_RELAY_URL)" else word
        for word in pod.body.get("args", ())
    ]
    assert service["command"] == [*pod.body["command"], *arguments]
    # https://github.com/openfaas/faasd/blob/master/pkg/supervisor.go: `ParseCompose` accepts this
    # type only, and `Start` lets the user read the folder if the user is a number.
    assert service["volumes"] == [
        {
            "type": "bind",
            "source": f"./leadline-secrets/{part}",
            "target": "/var/openfaas/secrets",
        }
    ]
    assert service["user"].isdecimal()
    files = {name: value for name, value in _environment(service).items() if name.endswith("_FILE")}
    assert files == pod.env
    (handed_over,) = re.findall(rf"^ *hand_over {part} (.+)$", _GUIDE, re.MULTILINE)
    assert {*handed_over.split()} == pod.secrets


def test_the_connectors_routes_lead_to_the_gateway() -> None:
    routes = json.loads(_environment(SERVICES["leadline-connector"])["LEADLINE_ROUTES"])
    on_kubernetes = routes_env("kubernetes")
    assert routes.keys() == on_kubernetes.keys()
    for queue, url in routes.items():
        assert urlsplit(url).netloc == "gateway:8080"
        assert urlsplit(url).path == urlsplit(on_kubernetes[queue]).path


#: The parts of the Caddyfile, in which a brace that opens a block must end its line.
_MATCHER = re.compile(r"\t@(\w+) expression `method\(([A-Z', ]+)\) && path\('([\w/*-]+)'\)`")
_HANDLE = re.compile(
    r"\thandle @(\w+) \{\n"
    r"\t\trewrite \* /function/([a-z-]+)\{uri\}\n"
    r"\t\treverse_proxy 127\.0\.0\.1:8080\n"
    r"\t\}"
)


def _proxied(method: str, path: str) -> Target | None:
    """The function to which Caddy leads the call: of the handles that match it, the first.

    https://caddyserver.com/docs/caddyfile/matchers#path: a star at the end stands for anything,
    another one for a part between slashes.
    """
    text = (DEPLOY / "faasd/Caddyfile").read_text(encoding="utf-8")
    matchers = {name: (methods, pattern) for name, methods, pattern in _MATCHER.findall(text)}
    for name, function in _HANDLE.findall(text):
        methods, pattern = matchers[name]
        if f"'{method}'" in methods and _matches(path, pattern):
            return Target(function, path)
    return None


def _matches(path: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def test_the_caddyfile_has_no_other_lines() -> None:
    text = (DEPLOY / "faasd/Caddyfile").read_text(encoding="utf-8")
    lines = _HANDLE.sub("", _MATCHER.sub("", text)).split("\n")
    comments = [*takewhile(lambda line: line.startswith("#"), lines)]
    assert [line for line in lines[len(comments) :] if line] == [
        "leadline.example.com {",
        "\thandle {",
        "\t\trespond 404",
        "\t}",
        "}",
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_the_proxy_leads_a_call_to_the_same_function_as_locally(method: str, path: str) -> None:
    expected, actual = route(method, path), _proxied(method, path)
    if isinstance(expected, Refusal):
        # A prefix matches more than the edge does: there the function itself decides.
        assert actual is None or path.startswith("/users")
    else:
        assert actual == expected


@pytest.mark.parametrize("path", [*PATHS_OF_THE_GATEWAY, *OPERATORS_PATHS])
def test_the_proxy_leads_to_nothing_else(path: str) -> None:
    assert not [method for method in METHODS if _proxied(method, path)]

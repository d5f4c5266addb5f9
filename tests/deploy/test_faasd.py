"""faasd runs the processes as the clusters do, with the secrets that its guide hands over."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.deploy.manifests import CHECKOUT, DEPLOY, processes, routes_env, workloads

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
    # https://github.com/openfaas/faasd/blob/master/pkg/supervisor.go: `ParseCompose` accepts
    # this type only, and by a number `Start` lets this user read the folder.
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

"""Network policies: a connection is allowed only to a workload that has the secret for it."""

import ipaddress
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kustomize import needs_kubectl, render
from tests.deploy.manifests import DEPLOY, Document, functions, of_kind, stack, workloads

#: The secret for each destination.
OPENED_BY = {
    "postgres": "database-url",
    "rabbitmq": "amqp-url",
    "redis": "redis-url",
    "bitrix24": "bitrix-webhook-url",
}
TO = "leadline/egress-to"
POLICIES = of_kind("NetworkPolicy")
OURS = [policy for policy in POLICIES if policy["metadata"].get("namespace") != "leadline-servers"]


def _allowed_to(destination: str, below: Path) -> set[str]:
    """The workloads that the policies of a folder allow to connect to a destination."""
    return {
        name
        for document in of_kind("NetworkPolicy", below)
        if document["metadata"].get("labels", {}).get(TO) == destination
        for name in document["spec"]["podSelector"]["matchExpressions"][0]["values"]
    }


def test_each_namespace_denies_all_traffic_by_default() -> None:
    denied = [policy for policy in POLICIES if policy["metadata"]["name"] == "default-deny"]
    # None: that of the functions and processes, which each platform chooses.
    assert {policy["metadata"].get("namespace") for policy in denied} == {None, "leadline-servers"}
    for policy in denied:
        assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _has(secrets: Iterable[str], expected: str) -> bool:
    """Whether a workload has the address of a server, with any login."""
    return any(secret == expected or secret.startswith(f"{expected}-") for secret in secrets)


@pytest.mark.parametrize("destination", OPENED_BY)
def test_exactly_the_holders_of_a_destinations_secret_may_connect_to_it(destination: str) -> None:
    secret = OPENED_BY[destination]
    on_openfaas = {
        name for name, function in stack().functions.items() if _has(function.secrets, secret)
    }
    on_knative = {name for name, function in functions().items() if _has(function.secrets, secret)}
    processes = {name for name, workload in workloads().items() if _has(workload.secrets, secret)}
    assert _allowed_to(destination, DEPLOY / "kubernetes") == on_openfaas
    assert _allowed_to(destination, DEPLOY / "knative/base") == on_knative
    assert _allowed_to(destination, DEPLOY / "base") == processes


def test_exactly_workloads_with_a_destination_may_use_dns() -> None:
    for below in ("base", "kubernetes", "knative/base"):
        connecting = set().union(*(_allowed_to(server, DEPLOY / below) for server in OPENED_BY))
        # The schedule has no server, and calls a function by its name.
        connecting |= {"relay"} if below == "base" else set()
        assert _allowed_to("dns", DEPLOY / below) == connecting


@pytest.mark.parametrize("platform", ["knative", "kubernetes"])
def test_exactly_the_holders_of_the_internal_key_may_call_functions(platform: str) -> None:
    calling = {
        name
        for document in of_kind("NetworkPolicy", DEPLOY / platform / "base")
        if document["metadata"]["name"].startswith("leadline-processes-to-")
        for name in document["spec"]["podSelector"]["matchExpressions"][0]["values"]
    }
    assert calling == {
        name for name, workload in workloads().items() if "internal-key" in workload.secrets
    }


def _rules(policy: Document) -> list[dict[str, Any]]:
    return list(policy["spec"].get("egress") or [])


def test_every_egress_has_an_address_and_a_port() -> None:
    rules = [rule for policy in OURS for rule in _rules(policy)]
    assert rules
    for rule in rules:
        assert rule["to"]
        assert rule["ports"]
        assert all(port["port"] and port["protocol"] for port in rule["ports"])


def test_bitrix24_is_reached_on_the_internet_only() -> None:
    """Excluded are a cloud's metadata service, the cluster's API and other workloads."""
    near = ("169.254.169.254", "10.96.0.1", "192.168.1.1", "127.0.0.1", "100.100.100.200")
    for policy in (
        policy for policy in OURS if policy["metadata"].get("labels", {}).get(TO) == "bitrix24"
    ):
        blocks = [target["ipBlock"] for rule in _rules(policy) for target in rule["to"]]
        for address in map(ipaddress.ip_address, (*near, "fe80::1", "fd00:ec2::254", "::1")):
            assert not any(_is_in(address, block) for block in blocks), address
        for address in map(ipaddress.ip_address, ("93.184.216.34", "2606:2800:220:1::1")):
            assert any(_is_in(address, block) for block in blocks), address


def _is_in(address: Any, block: dict[str, Any]) -> bool:
    inside = address in ipaddress.ip_network(block["cidr"])
    return inside and not any(
        address in ipaddress.ip_network(network) for network in block.get("except", ())
    )


@needs_kubectl
@pytest.mark.parametrize("platform", ["knative", "kubernetes"])
def test_addresses_and_ports_are_changed_in_one_place(platform: str, tmp_path: Path) -> None:
    deploy = shutil.copytree(DEPLOY, tmp_path / "deploy")
    overlay = deploy / platform / "overlays/production"
    kustomization = overlay / "kustomization.yaml"
    line = "  - ../../../components/egress"
    assert f"#{line}" in kustomization.read_text()
    kustomization.write_text(kustomization.read_text().replace(f"#{line}", line))
    policies = [document for document in render(overlay) if document["kind"] == "NetworkPolicy"]
    ports: dict[str, set[int]] = {}
    for policy in policies:
        destination = policy["metadata"].get("labels", {}).get(TO)
        if destination is None:
            continue
        for rule in _rules(policy):
            ports.setdefault(destination, set()).update(port["port"] for port in rule["ports"])
    # As in components/egress, which is an example.
    assert ports == {
        "dns": {53},
        "postgres": {6432},
        "rabbitmq": {5671},
        "redis": {6380},
        "bitrix24": {443},
    }
    assert "5432" not in str([_rules(policy) for policy in policies])

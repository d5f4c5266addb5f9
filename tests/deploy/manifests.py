"""Reads the manifests for the tests of deploy/: their documents, and the workloads in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local.stack import Function, Stack, read

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
#: Folders of Kubernetes manifests; environment/ and processes/ belong to faas-cli.
FOLDERS = ("base", "components", "knative", "kubernetes")
SECRETS = "/var/openfaas/secrets"
SERVING = "serving.knative.dev/v1"

Document = dict[str, Any]


def files() -> list[Path]:
    """Every YAML file of the manifests."""
    found = [path for folder in FOLDERS for path in (DEPLOY / folder).rglob("*.yaml")]
    return sorted([*found, DEPLOY / "secrets.example.yaml"])


def kustomizations() -> list[Path]:
    """Every kustomization.yaml."""
    return [path for path in files() if path.name == "kustomization.yaml"]


def documents(path: Path) -> list[Document]:
    """The documents of a file; none of them is empty."""
    found = list(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
    assert all(found), f"{path} has an empty document"
    return found


@cache
def resources() -> list[tuple[Path, Document]]:
    """The resources for a cluster, with their files, without kustomize's own kinds."""
    ignored_groups = ("kustomize.config.k8s.io/", "builtin")
    return [
        (path, document)
        for path in files()
        for document in documents(path)
        if not str(document.get("apiVersion", "builtin")).startswith(ignored_groups)
    ]


def of_kind(kind: str, below: Path = DEPLOY) -> list[Document]:
    """The manifests of this kind in a folder."""
    return [
        resource
        for path, resource in resources()
        if resource["kind"] == kind and path.is_relative_to(below)
    ]


@cache
def stack() -> Stack:
    """stack.yml with its defaults."""
    return read(CHECKOUT / "stack.yml", {})


def processes() -> Function:
    """The image of worker, connector, schedule and migrations."""
    return read(DEPLOY / "processes" / "stack.yml", {}).functions["processes"]


def compose() -> Document:
    """The services of docker compose, without its variables filled in."""
    text = (CHECKOUT / "local" / "docker-compose.yml").read_text(encoding="utf-8")
    return dict(yaml.load(text, yaml.CSafeLoader)["services"])


@dataclass(frozen=True)
class Container:
    """One of our containers, from any kind of manifest."""

    name: str
    #: Of the object that contains it: `SERVING` for a function on Knative.
    api_version: str
    #: The pod's spec, and in it the container's own part.
    pod: Document
    body: Document

    @property
    def secrets(self) -> set[str]:
        """The files below /var/openfaas/secrets, by name; a Secret has one, named as itself."""
        mounts = {mount["name"]: mount["mountPath"] for mount in self.body.get("volumeMounts", [])}
        return {
            source["secret"]["name"]
            for volume in self.pod.get("volumes", [])
            if mounts.get(volume["name"]) == SECRETS
            for source in volume["projected"]["sources"]
            if "secret" in source
        }

    @property
    def field_map(self) -> set[str]:
        """The ConfigMap of the field map, next to the secrets; it may be missing in the cluster."""
        return {
            source["configMap"]["name"]
            for volume in self.pod.get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            if source.get("configMap", {}).get("optional")
        }

    @property
    def env(self) -> dict[str, str]:
        """The container's own settings, in addition to the shared ones."""
        return {variable["name"]: variable["value"] for variable in self.body.get("env", [])}


@cache
def functions() -> dict[str, Container]:
    """The functions as Knative runs them."""
    return {
        container.name: container for container in _containers() if container.api_version == SERVING
    }


@cache
def workloads() -> dict[str, Container]:
    """The workloads besides the functions, as any cluster runs them: migrate, worker and so on."""
    found = {
        container.name: container for container in _containers() if container.api_version != SERVING
    }
    return {name.removeprefix("leadline-"): workload for name, workload in found.items()}


def _containers() -> Iterator[Container]:
    for path, document in resources():
        is_ours = path.is_relative_to(DEPLOY / "base") or document["apiVersion"] == SERVING
        if is_ours and "template" in document.get("spec", {}):
            pod = document["spec"]["template"]["spec"]
            yield Container(
                name=document["metadata"]["name"],
                api_version=document["apiVersion"],
                pod=pod,
                body=pod["containers"][0],
            )


def settings_env() -> dict[str, str]:
    """The settings that all pods get from the ConfigMap."""
    lines = (DEPLOY / "base" / "settings.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: value for name, value in pairs}  # noqa: C416 - names both parts


def literals(platform: str) -> dict[str, str]:
    """The settings that this platform's kustomization adds."""
    (kustomization,) = documents(DEPLOY / platform / "base" / "kustomization.yaml")
    pairs = [
        literal.split("=", 1) for literal in kustomization["configMapGenerator"][0]["literals"]
    ]
    return {name: value for name, value in pairs}  # noqa: C416 - names both parts


def routes_env(platform: str) -> dict[str, str]:
    """LEADLINE_ROUTES on this platform."""
    return dict(json.loads(literals(platform)["LEADLINE_ROUTES"]))

"""Renders and checks charts with Helm's own library, which helm-python-sdk contains."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import Document

helm_python = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

#: An address without a cluster: a dry run contacts none.
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
users: [{name: none, user: {}}]
"""
#: Severities of findings: 1 is information, such as a missing icon.
_WARNING = 2


class ChartError(Exception):
    """Helm refuses the values, or a template fails."""


@cache
def _load(chart: Path) -> Any:
    return helm_python.Chart.load(chart)


def texts(chart: Path, values: dict[str, Any], namespace: str) -> dict[str, str]:
    """The output of each template for these values, as of `helm template`.

    Raises:
        ChartError: a value is not in the schema, or a template fails.
    """
    try:
        _load(chart).validate_schema(_load(chart).merge_values(values))
        rendered: dict[str, str] = _load(chart).render(values, name="leadline", namespace=namespace)
    except helm_python.HelmError as error:
        raise ChartError(str(error)) from error
    return rendered


def render(chart: Path, values: dict[str, Any], namespace: str) -> list[Document]:
    """The objects that an installation with these values creates.

    Raises:
        ChartError: as `texts`.
    """
    rendered = texts(chart, values, namespace)
    return [
        document
        for name, text in rendered.items()
        if name.endswith((".yaml", ".yml"))
        for document in yaml.load_all(text, yaml.CSafeLoader)
        if document
    ]


def installed_objects(chart: Path, values: dict[str, Any], namespace: str) -> list[Document]:
    """The objects that `helm install` applies after its hooks, in its order, from a dry run."""
    with helm_python.Config(
        kubeconfig_content=_KUBECONFIG, namespace=namespace, storage_driver="memory"
    ) as config:
        release = config.install(chart, "leadline", values, dry_run="client")
    return [
        document for document in yaml.load_all(release["manifest"], yaml.CSafeLoader) if document
    ]


def lint(chart: Path, values: dict[str, Any], namespace: str) -> list[str]:
    """The warnings and errors of `helm lint --strict`."""
    report = helm_python.lint(chart, values, strict=True, namespace=namespace)
    found = [message["error"] for message in report["messages"] if message["severity"] >= _WARNING]
    return [*found, *report["errors"]]


def package(chart: Path, folder: Path) -> Path:
    """The chart as an archive in this folder."""
    return Path(helm_python.package(chart, destination=folder))

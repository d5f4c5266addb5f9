"""Each manifest is valid for its kind, and gives a container no right that it does not need."""

from typing import Any

import kubernetes_validate
import pytest

from leadline.connector import function_client
from leadline.workqueue import rq_jobs
from tests.deploy.custom_resources import MODELS
from tests.deploy.manifests import (
    SERVING,
    Container,
    Document,
    functions,
    of_kind,
    resources,
    workloads,
)

#: The oldest and the newest supported Kubernetes.
VERSIONS = ("1.32", "1.37")


def _name(value: Any) -> str | None:
    if isinstance(value, dict) and "metadata" in value:
        return f"{value['kind']}-{value['metadata']['name']}"
    return value.name if isinstance(value, Container) else None


ALL = [document for _, document in resources()]
CORE = [document for document in ALL if (document["apiVersion"], document["kind"]) not in MODELS]
OURS = [*functions().values(), *workloads().values()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", CORE, ids=_name)
def test_a_core_manifest_is_valid_for_kubernetes(document: Document, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    "document", [document for document in ALL if document not in CORE], ids=_name
)
def test_a_custom_manifest_is_valid_for_its_kind(document: Document) -> None:
    MODELS[document["apiVersion"], document["kind"]].model_validate(document)


@pytest.mark.parametrize("container", functions().values(), ids=_name)
def test_a_knative_function_is_a_valid_pod(container: Container) -> None:
    body = {"name": container.name, **container.body}
    spec = {"containers": [body], "volumes": container.pod["volumes"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": container.name}, "spec": spec}
    kubernetes_validate.validate(pod, VERSIONS[0], strict=True)


@pytest.mark.parametrize("container", OURS, ids=_name)
def test_a_container_has_no_rights_that_it_does_not_need(container: Container) -> None:
    # Knative accepts these on the container, Kubernetes some on the pod.
    security = container.pod.get("securityContext", {}) | container.body["securityContext"]
    assert security == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container.pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("container", OURS, ids=_name)
def test_a_container_requests_memory_and_has_a_limit(container: Container) -> None:
    resources = container.body["resources"]
    assert {"memory", "cpu"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("name", [*functions(), "connector", "worker"])
def test_long_running_workloads_are_probed_on_paths_that_need_no_server(name: str) -> None:
    body = {**functions(), **workloads()}[name].body
    assert body["livenessProbe"]["httpGet"]["path"] == "/_/health"
    assert body["readinessProbe"]["httpGet"]["path"] == "/_/ready"


def test_a_worker_may_finish_its_job_and_a_connector_its_deliveries() -> None:
    timeout: Any = function_client.TIMEOUT
    delivery_s = timeout.connect_timeout + timeout.read_timeout
    for name, longest_s in {"worker": rq_jobs.JOB_TIMEOUT_S, "connector": delivery_s}.items():
        assert workloads()[name].pod["terminationGracePeriodSeconds"] > longest_s


def test_a_function_on_knative_is_reached_from_outside_by_the_route_only() -> None:
    services = [document for document in of_kind("Service") if document["apiVersion"] == SERVING]
    assert {
        service["metadata"]["labels"].get("networking.knative.dev/visibility")
        for service in services
    } == {"cluster-local"}


def test_the_example_contains_no_secret() -> None:
    for document in of_kind("Secret"):
        ((name, value),) = document["stringData"].items()
        assert name == document["metadata"]["name"], "the file is named like the secret"
        assert "CHANGE-ME" in value or "WEBHOOK_CODE" in value

"""Every workload conforms to the profile "restricted" of the Pod Security Standards."""

import copy
from typing import Any

import pytest

from tests.deploy.manifests import Document, functions, of_kind, resources, workloads
from tests.deploy.pod_security import Pod, violations

KINDS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Service"}


def _pod(document: Document) -> Pod | None:
    """The pod spec of a workload, if it has one."""
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    return dict(pod) if "containers" in pod else None


PODS = {
    f"{document['kind']}-{document['metadata']['name']}": pod
    for _, document in resources()
    if (pod := _pod(document))
}


@pytest.mark.parametrize("name", PODS)
def test_a_workload_is_restricted(name: str) -> None:
    assert violations(PODS[name]) == []


def test_no_workload_is_overlooked() -> None:
    servers = 3
    assert len(PODS) >= len(workloads()) + len(functions()) + servers
    assert not [document for kind in ("Pod", "CronJob", "DaemonSet") for document in of_kind(kind)]


@pytest.mark.parametrize(
    ("where", "value", "rule"),
    [
        (("hostNetwork",), True, "Host Namespaces"),
        (("volumes",), [{"name": "x", "hostPath": {"path": "/"}}], "Volume Types"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "Seccomp"),
        (("securityContext", "runAsNonRoot"), False, "Running as Non-root"),
        (("securityContext", "runAsUser"), 0, "Running as Non-root user"),
        (("containers", 0, "securityContext"), {"privileged": True}, "Privileged Containers"),
        (("containers", 0, "securityContext"), {}, "Capabilities: drop ALL"),
        (("containers", 0, "securityContext"), {}, "Privilege Escalation"),
        (("containers", 0, "ports"), [{"hostPort": 80}], "Host Ports"),
    ],
)
def test_each_violation_is_found(where: tuple[Any, ...], value: object, rule: str) -> None:
    pod: Any = copy.deepcopy(workloads()["worker"].pod)
    inner = pod
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    assert rule in violations(pod)

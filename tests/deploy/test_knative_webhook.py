"""Knative Serving's webhook accepts each function, by the rules that its schema can't express."""

import copy
from typing import Any

import pytest

from tests.deploy.knative_webhook import refusals
from tests.deploy.manifests import SERVING, Document, of_kind

FUNCTIONS = {
    document["metadata"]["name"]: document
    for document in of_kind("Service")
    if document["apiVersion"] == SERVING
}
_TEMPLATE = ("spec", "template")
_POD = (*_TEMPLATE, "spec")
_CONTAINER = (*_POD, "containers", 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_knative_accepts_the_manifest_of_every_function(name: str) -> None:
    assert refusals(FUNCTIONS[name]) == []


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("metadata", "name"), "create_user", "metadata.name"),
        (
            ("metadata", "annotations"),
            {"autoscaling.knative.dev/min-scale": "1"},
            "an annotation of autoscaling belongs to the template",
        ),
        (
            (*_TEMPLATE, "metadata", "annotations", "autoscaling.knative.dev/min-scale"),
            "9",
            "min-scale exceeds max-scale",
        ),
        (
            (*_TEMPLATE, "metadata", "annotations", "autoscaling.knative.dev/max-scale"),
            "many",
            "a scale is no number",
        ),
        ((*_POD, "containerConcurrency"), 1001, "containerConcurrency"),
        ((*_POD, "timeoutSeconds"), 601, "timeoutSeconds"),
        ((*_POD, "terminationGracePeriodSeconds"), 60, "spec.terminationGracePeriodSeconds"),
        ((*_POD, "securityContext"), {"runAsNonRoot": True}, "spec.securityContext"),
        ((*_POD, "topologySpreadConstraints"), [], "spec.topologySpreadConstraints"),
        (
            (*_POD, "automountServiceAccountToken"),
            True,
            "automountServiceAccountToken may only be false",
        ),
        ((*_POD, "volumes", 0), {"name": "secrets", "hostPath": {"path": "/"}}, "volumes"),
        ((*_POD, "volumes", 0, "name"), "other", "volumes and mounts differ"),
        (
            (*_CONTAINER, "volumeMounts", 0, "readOnly"),
            False,
            "/var/openfaas/secrets has to be read-only",
        ),
        ((*_CONTAINER, "lifecycle"), {}, "container.lifecycle"),
        ((*_CONTAINER, "securityContext", "privileged"), True, "securityContext.privileged"),
        ((*_CONTAINER, "ports", 0, "name"), "http", "ports"),
        ((*_CONTAINER, "ports", 0, "containerPort"), 9090, "ports"),
        ((*_CONTAINER, "env", 0), {"name": "PORT", "value": "8080"}, "PORT is reserved"),
        (
            (*_CONTAINER, "readinessProbe", "httpGet", "port"),
            "web",
            "a probe's port is not the container's",
        ),
        ((*_CONTAINER, "readinessProbe", "exec"), {"command": ["true"]}, "a probe has one handler"),
    ],
)
def test_each_refusal_is_found(where: tuple[Any, ...], value: object, reason: str) -> None:
    changed: Document = copy.deepcopy(FUNCTIONS["create-user"])
    inner: Any = changed
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    assert reason in refusals(changed)

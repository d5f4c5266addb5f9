"""What Knative Serving's webhook refuses beyond its schema, while optional features are off.

Read in https://github.com/knative/serving (98e5ef9, August 2026): pkg/apis/serving/fieldmask.go,
k8s_validation.go and metadata_validation.go, pkg/apis/autoscaling/annotation_validation.go, and
for the defaults pkg/apis/config/{defaults,features}.go.
"""

import re
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_AUTOSCALING = "autoscaling.knative.dev/"
#: Keys that the webhook accepts in a revision: Knative's own, a pod's, and those in its container.
_REVISION = {"containerConcurrency", "timeoutSeconds"}
_POD = {"serviceAccountName", "containers", "volumes", "imagePullSecrets", "enableServiceLinks"}
_CONTAINER = {
    *("name", "args", "command", "env", "workingDir", "envFrom", "image", "imagePullPolicy"),
    *("livenessProbe", "ports", "readinessProbe", "resources", "securityContext", "startupProbe"),
    *("terminationMessagePath", "terminationMessagePolicy", "volumeMounts"),
}
_SECURITY = {
    *("capabilities", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "runAsNonRoot"),
    *("allowPrivilegeEscalation", "seccompProfile"),
}
_PROBE = {
    *("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold"),
    *("failureThreshold", "terminationGracePeriodSeconds"),
}
_HANDLERS = {"httpGet", "tcpSocket", "exec", "grpc"}
_VOLUMES = {"secret", "configMap", "projected", "emptyDir"}
_RESERVED_VARIABLES = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
_RESERVED_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}
_PORT_NAMES = {"", "http1", "h2c"}
_CONCURRENCY_MAX = 1000
_TIMEOUT_MAX_S = 600


def refusals(service: Object) -> list[str]:
    """Why the webhook refuses this Service (serving.knative.dev/v1); empty if it accepts it."""
    template = service["spec"]["template"]
    return [
        *_of_metadata(service["metadata"]),
        *_of_scale(template["metadata"].get("annotations", {})),
        *_of_revision(template["spec"]),
    ]


def _of_metadata(metadata: Object) -> Iterator[str]:
    if not _LABEL.fullmatch(metadata["name"]):
        yield "metadata.name"
    if any(name.startswith(_AUTOSCALING) for name in metadata.get("annotations", {})):
        yield "an annotation of autoscaling belongs to the template"


def _of_scale(annotations: dict[str, str]) -> Iterator[str]:
    found = {
        name: annotations.get(f"{_AUTOSCALING}{name}", "0") for name in ("min-scale", "max-scale")
    }
    if not all(value.isdecimal() for value in found.values()):
        yield "a scale is no number"
    elif 0 < int(found["max-scale"]) < int(found["min-scale"]):
        yield "min-scale exceeds max-scale"


def _of_revision(spec: Object) -> Iterator[str]:
    yield from _unknown_keys("spec", spec, _POD | _REVISION | {"automountServiceAccountToken"})
    if spec.get("automountServiceAccountToken"):
        yield "automountServiceAccountToken may only be false"
    if not 0 <= spec.get("containerConcurrency", 0) <= _CONCURRENCY_MAX:
        yield "containerConcurrency"
    if not 0 <= spec.get("timeoutSeconds", 0) <= _TIMEOUT_MAX_S:
        yield "timeoutSeconds"
    (container,) = spec["containers"]
    yield from _of_container(container)
    yield from _of_volumes(spec.get("volumes", []), container.get("volumeMounts", []))


def _of_container(container: Object) -> Iterator[str]:
    yield from _unknown_keys("container", container, _CONTAINER)
    security = container.get("securityContext", {})
    yield from _unknown_keys("securityContext", security, _SECURITY)
    if security.get("capabilities", {}).get("add"):
        yield "capabilities.add"
    for variable in container.get("env", []):
        if variable["name"] in _RESERVED_VARIABLES:
            yield f"{variable['name']} is reserved"
    ports = container.get("ports", [])
    if len(ports) > 1:
        yield "more than one port"
    for port in ports:
        if port["containerPort"] in _RESERVED_PORTS or port.get("name", "") not in _PORT_NAMES:
            yield "ports"
    port_name = ports[0].get("name", "http") if ports else "http"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _of_probe(container.get(probe), port_name)


def _of_probe(probe: Object | None, port_name: str) -> Iterator[str]:
    if probe is None:
        return
    yield from _unknown_keys("probe", probe, _PROBE | _HANDLERS)
    handlers = [probe[handler] for handler in _HANDLERS & probe.keys()]
    if len(handlers) != 1:
        yield "a probe has one handler"
    if any(
        isinstance(handler.get("port"), str) and handler["port"] != port_name
        for handler in handlers
    ):
        yield "a probe's port is not the container's"


def _of_volumes(volumes: list[Object], mounts: list[Object]) -> Iterator[str]:
    kinds = {volume["name"]: volume.keys() - {"name"} for volume in volumes}
    if any(len(kind) != 1 or not kind <= _VOLUMES for kind in kinds.values()):
        yield "volumes"
    if {mount["name"] for mount in mounts} != kinds.keys() or len(kinds) != len(volumes):
        yield "volumes and mounts differ"
    for mounted in mounts:
        if kinds.get(mounted["name"]) != {"emptyDir"} and not mounted.get("readOnly"):
            yield f"{mounted['mountPath']} has to be read-only"


def _unknown_keys(where: str, found: Object, allowed: set[str]) -> Iterator[str]:
    for name in sorted(found.keys() - allowed):
        yield f"{where}.{name}"

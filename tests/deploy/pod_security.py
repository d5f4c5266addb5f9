"""The profile "restricted" of the Pod Security Standards, as a list of rules.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Baseline and Restricted, read
for Kubernetes 1.33; Linux pods).
"""

from collections.abc import Iterator
from typing import Any

Pod = dict[str, Any]

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"),
    *("projected", "secret"),
}
_SYSCTLS = {
    *(
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
    ),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
_PROFILES = {"RuntimeDefault", "Localhost"}
#: The handlers of probes and hooks that connect to a host.
_CONNECTING = ("httpGet", "tcpSocket")
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(pod: Pod) -> list[str]:
    """The names of the rules of "restricted" that this pod's spec violates."""
    containers = [
        container
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for container in pod.get(kind, ())
    ]
    found = [*_of_pod(pod)]
    for container in containers:
        security = container.get("securityContext", {})
        # A container's missing values are the pod's.
        found += _of_container(container, security, pod.get("securityContext", {}) | security)
    return found


def _of_pod(pod: Pod) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "Host Namespaces"
    if any(not volume.keys() - {"name"} <= _VOLUMES for volume in pod.get("volumes", ())):
        yield "Volume Types"
    if any(sysctl["name"] not in _SYSCTLS for sysctl in security.get("sysctls", ())):
        yield "Sysctls"
    yield from _of_both(security)


def _of_container(container: Pod, security: Pod, inherited: Pod) -> Iterator[str]:
    capabilities = security.get("capabilities", {})
    if security.get("privileged"):
        yield "Privileged Containers"
    if "ALL" not in capabilities.get("drop", ()):
        yield "Capabilities: drop ALL"
    if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
        yield "Capabilities: add"
    if security.get("allowPrivilegeEscalation") is not False:
        yield "Privilege Escalation"
    if inherited.get("runAsNonRoot") is not True:
        yield "Running as Non-root"
    if inherited.get("seccompProfile", {}).get("type") not in _PROFILES:
        yield "Seccomp"
    if security.get("procMount", "Default") != "Default":
        yield "/proc Mount Type"
    if any("hostPort" in port and port["hostPort"] for port in container.get("ports", ())):
        yield "Host Ports"
    handlers = [*container.get("lifecycle", {}).values(), *_probes(container)]
    if any(handler.get(kind, {}).get("host") for handler in handlers for kind in _CONNECTING):
        yield "Host Probes / Lifecycle Hooks"
    yield from _of_both(security)


def _probes(container: Pod) -> list[Pod]:
    names = ("livenessProbe", "readinessProbe", "startupProbe")
    return [container[name] for name in names if name in container]


def _of_both(security: Pod) -> Iterator[str]:
    """The rules about a securityContext, of a pod or a container."""
    selinux = security.get("seLinuxOptions", {})
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.keys() & {"user", "role"}:
        yield "SELinux"
    if security.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in _PROFILES:
        yield "AppArmor"
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield "HostProcess"
    if security.get("runAsUser") == 0:
        yield "Running as Non-root user"

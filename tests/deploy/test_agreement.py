"""stack.yml and the manifests describe the same system.

They give each workload exactly the secrets and settings that its code reads.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from leadline.messages import topology
from leadline.settings import Settings
from local.logins import table
from tests.deploy.manifests import (
    CHECKOUT,
    DEPLOY,
    Container,
    compose,
    documents,
    functions,
    literals,
    of_kind,
    processes,
    routes_env,
    settings_env,
    stack,
    workloads,
)

FOLDERS = {path.parent.name for path in (CHECKOUT / "functions").glob("*/main.py")}
NAMES = sorted(folder.replace("_", "-") for folder in FOLDERS)
PROCESSES = {
    "migrate": "leadline.runtime.postgres.migrate",
    "connector": "leadline.connector.consumer",
    "relay": "leadline.connector.schedule",
    "worker": "leadline.sync.worker",
}
#: In these functions, one thread besides THREADS may hold a Postgres connection: it marks confirmed
#: events.
MARKERS = {"create-user", "update-user", "move-user", "upsert-users", "delete-user"}
#: A migration takes its lock on one connection and works on another.
MIGRATION = 2
#: max_connections of Postgres by default, without those reserved for superusers.
CONNECTIONS = 100 - 3


def modules_of(source: Path) -> set[Path]:
    """This file and every file of `leadline` that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports_of(path)
    return found


@cache
def _imports_of(path: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    files = [CHECKOUT / f"{name.replace('.', '/')}.py" for name in names]
    return [file for file in files if file.is_file() and file.is_relative_to(CHECKOUT / "leadline")]


def secrets_read_by(source: Path) -> set[str]:
    """The names of the secrets that this file and its imports read.

    The calls that read a secret are `secrets.get`, `require` and `url_source`.
    """
    text = "".join(path.read_text(encoding="utf-8") for path in modules_of(source))
    return set(re.findall(r'secrets\.(?:get|require|url_source)\("([a-z-]+)"\)', text))


def source_of(name: str) -> Path:
    if name in PROCESSES:
        return CHECKOUT / f"{PROCESSES[name].replace('.', '/')}.py"
    return CHECKOUT / "functions" / name.replace("-", "_") / "main.py"


# Functions


def test_openfaas_and_knative_deploy_every_function() -> None:
    assert sorted(stack().functions) == NAMES
    assert sorted(functions()) == NAMES


def test_the_network_policy_and_the_disruption_budget_select_every_function() -> None:
    for kind in ("NetworkPolicy", "PodDisruptionBudget"):
        (document,) = [
            document
            for document in of_kind(kind, DEPLOY / "kubernetes")
            if document["metadata"]["name"] == "leadline-functions"
        ]
        selector = document["spec"].get("podSelector") or document["spec"]["selector"]
        assert sorted(selector["matchExpressions"][0]["values"]) == NAMES


# Images


@pytest.mark.parametrize("name", NAMES)
def test_a_function_has_the_same_image_on_openfaas_and_knative(name: str) -> None:
    assert functions()[name].body["image"] == stack().functions[name].image


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_one_image_and_one_command(name: str) -> None:
    body = workloads()[name].body
    assert body["image"] == processes().image
    assert body["command"] == ["python", "-m", PROCESSES[name]]


def test_the_images_component_names_every_image() -> None:
    (component,) = documents(DEPLOY / "components" / "images" / "kustomization.yaml")
    images = {f"{image['name']}:{image['newTag']}" for image in component["images"]}
    assert images == {function.image for function in [*stack().functions.values(), processes()]}


# Secrets


@pytest.mark.parametrize("name", NAMES)
def test_a_function_gets_the_same_secrets_on_openfaas_and_knative(name: str) -> None:
    assert functions()[name].secrets == set(stack().functions[name].secrets)


@pytest.mark.parametrize("name", [*NAMES, *PROCESSES])
def test_each_workload_gets_the_secrets_that_its_code_reads(name: str) -> None:
    container = {**functions(), **workloads()}[name]
    needed = secrets_read_by(source_of(name))
    needed -= {"api-keys", "internal-key"}
    needed |= _keys_of(name)
    assert container.secrets == {_secret_of(name, secret) for secret in needed}


def _secret_of(name: str, secret: str) -> str:
    """The secret that a workload mounts: for a URL, the one of its own login."""
    if secret not in table.URL_SECRETS:
        return secret
    if name not in table.PARTS:
        return f"{secret}-owner"
    return table.by_name(table.PARTS[name]).secret(secret)


@pytest.mark.parametrize("name", [*NAMES, *PROCESSES])
def test_each_workload_gets_the_addresses_of_its_own_login_on_each_platform(name: str) -> None:
    container = {**functions(), **workloads()}[name]
    expected = {
        f"{variable}_FILE": secret
        for address, variable in table.URL_SECRETS.items()
        for secret in container.secrets
        if secret.startswith(f"{address}-")
    }
    environments = [container.env, compose()[name]["environment"]]
    if name in NAMES:
        environments.append(stack().functions[name].environment)
    for environment in environments:
        declared = {key: value for key, value in environment.items() if key.endswith("_URL_FILE")}
        assert declared == expected


@pytest.mark.parametrize("name", [*NAMES, *PROCESSES])
def test_every_workload_that_reads_the_field_map_gets_it(name: str) -> None:
    reads_map = CHECKOUT / "leadline/mapping/current.py" in modules_of(source_of(name))
    mounted = {**functions(), **workloads()}[name].field_map
    assert mounted <= {"leadline-mapping"}
    if reads_map:
        assert mounted


def _keys_of(name: str) -> set[str]:
    """The key secrets of a workload.

    `internal-key` for the connector, the relay and the functions that only these call; `api-keys`
    for the other functions.
    """
    if name in ("connector", "relay"):
        return {"internal-key"}
    if name not in NAMES:
        return set()
    is_internal = 'write_scope="internal"' in source_of(name).read_text(encoding="utf-8")
    return {"internal-key"} if is_internal else {"api-keys"}


# Settings


def test_the_settings_file_names_every_setting_and_no_other() -> None:
    setting_names = {f"LEADLINE_{name.upper()}" for name in Settings.model_fields}
    # Authentication is decided for each function.
    expected = setting_names - {"LEADLINE_AUTH"}
    hint = "add it to, or remove it from, deploy/base/settings.env and deploy/environment/"
    assert settings_env().keys() == expected, f"{settings_env().keys() ^ expected} {hint}"


def test_kubernetes_and_openfaas_have_the_same_settings() -> None:
    for name, function in stack().functions.items():
        environment = function.all_environment(CHECKOUT)
        common = {key for key in environment if key.startswith("LEADLINE_")} - {"LEADLINE_AUTH"}
        on_kubernetes = settings_env()
        assert {key: environment[key] for key in common} == {
            key: on_kubernetes[key] for key in common
        }
        others = {key: environment[key] for key in environment.keys() - common}
        assert others == functions()[name].env, name


def test_settings_are_valid() -> None:
    values = {
        name.removeprefix("LEADLINE_").lower(): value for name, value in settings_env().items()
    }
    Settings.model_validate(values)


# Calls


def test_each_queue_is_delivered_to_its_function_on_each_platform() -> None:
    topics = {
        function.annotations["topic"]: name
        for name, function in stack().functions.items()
        if function.annotations.get("topic") in {topology.REQUESTS, topology.REPLIES}
    }
    assert topics.keys() == {topology.REQUESTS, topology.REPLIES}
    knative, kubernetes = routes_env("knative"), routes_env("kubernetes")
    for queue, name in topics.items():
        assert knative[queue] == f"http://{name}.leadline.svc.cluster.local/"
        gateway = "http://gateway.openfaas.svc.cluster.local:8080"
        assert kubernetes[queue] == f"{gateway}/function/{name}"
    sources = of_kind("RabbitmqSource")
    assert topics == {
        source["spec"]["rabbitmqResourcesConfig"]["queueName"]: source["spec"]["sink"]["ref"][
            "name"
        ]
        for source in sources
    }


def test_the_schedule_calls_the_relay_on_each_platform() -> None:
    relay = workloads()["relay"]
    address, *options = relay.body["args"]
    assert address == "$(LEADLINE_RELAY_URL)"
    tick = Path(options[options.index("--tick") + 1])
    mounts = {mount["mountPath"] for mount in relay.body["volumeMounts"]}
    assert str(tick.parent) in mounts
    assert str(tick) in relay.body["livenessProbe"]["exec"]["command"][-1]
    assert literals("knative")["LEADLINE_RELAY_URL"] == (
        "http://outbox-relay.leadline.svc.cluster.local/"
    )
    assert literals("kubernetes")["LEADLINE_RELAY_URL"] == (
        "http://gateway.openfaas.svc.cluster.local:8080/function/outbox-relay"
    )


def test_every_function_requires_a_key_on_each_platform() -> None:
    for name, function in stack().functions.items():
        assert function.all_environment(CHECKOUT).get("LEADLINE_AUTH", "on") == "on", name
        assert functions()[name].env.get("LEADLINE_AUTH", "on") == "on", name


# Resources


@pytest.mark.parametrize("name", NAMES)
def test_a_function_has_the_same_resources_on_openfaas_and_knative(name: str) -> None:
    function, container = stack().functions[name], functions()[name]
    assert function.requests
    assert function.limits
    resources = {
        "requests": function.requests.model_dump(),
        "limits": function.limits.model_dump(),
    }
    assert container.body["resources"] == resources
    assert _most_replicas(name) == function.replicas_max


def test_a_knative_function_serves_as_many_requests_at_once_as_it_has_threads() -> None:
    for container in functions().values():
        assert str(container.pod["containerConcurrency"]) == container.env["THREADS"]


def _most_replicas(name: str) -> int:
    (service,) = [
        document for document in of_kind("Service") if document["metadata"]["name"] == name
    ]
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    return int(annotations["autoscaling.knative.dev/max-scale"])


def _connections(name: str, container: Container) -> int:
    """The Postgres connections that all replicas of a function may hold."""
    if "DATABASE_URL_FILE" not in container.env:
        return 0
    threads = int(container.env["THREADS"])
    if name in MARKERS:
        threads += 1
    return _most_replicas(name) * threads


def test_all_functions_together_stay_within_the_connections_of_postgres() -> None:
    connections = MIGRATION + sum(
        _connections(name, function) for name, function in functions().items()
    )
    assert connections <= CONNECTIONS
    # The guide states the same number.
    guide = (CHECKOUT / "docs" / "deploy" / "README.md").read_text(encoding="utf-8")
    assert f"**{connections} connections**" in guide


def test_one_replica_of_each_function_takes_as_many_connections_as_the_guide_says() -> None:
    with_postgres = [
        name for name, function in functions().items() if "DATABASE_URL_FILE" in function.env
    ]
    threads = sum(int(functions()[name].env["THREADS"]) for name in with_postgres)
    guide = " ".join((CHECKOUT / "docs/deploy/faasd.md").read_text(encoding="utf-8").split())
    assert f"takes {threads + len(MARKERS) + MIGRATION} of Postgres' connections" in guide
    assert f"of the {len(with_postgres)} functions that use it, {len(MARKERS)} markers" in guide


def test_only_writing_functions_mark_confirmed_events() -> None:
    ledger = CHECKOUT / "leadline" / "ledger"
    marking = {ledger / "accept.py", ledger / "erasure" / "erase.py"}
    assert {name for name in NAMES if marking & modules_of(source_of(name))} == MARKERS

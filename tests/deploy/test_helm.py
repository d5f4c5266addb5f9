"""The chart installs what the kustomize overlays install, and each value changes what it says."""

import copy
import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from local.logins.table import LOGINS
from tests.deploy import helm, kustomize
from tests.deploy.custom_resources import MODELS
from tests.deploy.knative_webhook import refusals
from tests.deploy.manifests import CHECKOUT, DEPLOY, SERVING, Document, processes, stack
from tests.deploy.pod_security import violations
from tests.deploy.test_monitoring import rules

CHART = DEPLOY / "helm/leadline"
#: The chart's value `home`, the platform of the functions: its namespace and its overlay.
NAMESPACES = {"knative": "leadline", "openfaas": "openfaas-fn"}
OVERLAYS = {"knative": "knative", "openfaas": "kubernetes"}
#: Labels that only the chart sets.
OWN_LABELS = {"app.kubernetes.io/managed-by", "helm.sh/chart"}
EVERYTHING: dict[str, Any] = {
    "home": "knative",
    "images": {
        "repository": "registry.example.com/acme",
        "tag": "9.9.9",
        "pullPolicy": "Always",
        "pullSecrets": [{"name": "registry-login"}],
    },
    "settings": {"LEADLINE_PHONE_REGION": "KZ"},
    "processes": {
        "connector": {"replicas": 3, "resources": {"limits": {"memory": "256Mi"}}},
    },
    "workerAutoscaling": {"minReplicas": 2, "maxReplicas": 16},
    "functions": {
        "get-user": {
            "minScale": 2,
            "maxScale": 6,
            "resources": {
                "requests": {"memory": "96Mi", "cpu": "100m"},
                "limits": {"memory": "256Mi", "cpu": "1000m"},
            },
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "knative": {"topologySpread": True},
    "podDisruptionBudgets": {"maxUnavailable": "25%"},
    "networkPolicies": {
        "egress": {
            "dns": {"ports": [53]},
            "postgres": {"to": [{"ipBlock": {"cidr": "10.20.0.5/32"}}], "ports": [6432]},
        }
    },
    "route": {
        "parentRefs": [{"name": "edge", "namespace": "ingress"}],
        "hostnames": ["leads.example.org"],
    },
    "operatorsRoute": {"enabled": True},
    "monitoring": {
        "namespace": "observability",
        "labels": {"release": "prometheus"},
        "podMonitor": True,
        "prometheusRule": True,
    },
    "emulator": {"enabled": True},
    "rabbitmq": {
        "cluster": {"enabled": True, "replicas": 5, "storage": "20Gi"},
        "users": {"enabled": True},
    },
}


def _render(values: dict[str, Any], home: str = "knative", namespace: str = "") -> list[Document]:
    """The chart's objects in this home."""
    return helm.render(CHART, values | {"home": home}, namespace or NAMESPACES[home])


def _of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    return {
        document["metadata"]["name"]: document for document in documents if document["kind"] == kind
    }


def _pods(documents: list[Document]) -> dict[str, Document]:
    """The pod specs of all workloads, by the workload's name."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if "template" in document.get("spec", {})
    }


# The same as kustomize


def _key(document: Document) -> tuple[str, str, str]:
    metadata = document["metadata"]
    name = re.sub(r"^(leadline-settings)-\w+$", r"\1", metadata["name"])
    return document["kind"], metadata.get("namespace", ""), name


def _comparable(document: Document) -> Document:
    """The object without the chart's labels, hashes in names, and the hook."""
    text = re.sub(r"leadline-settings-[a-z0-9]+", "leadline-settings", json.dumps(document))
    comparable: Document = json.loads(text)
    for label in OWN_LABELS:
        comparable["metadata"].get("labels", {}).pop(label, None)
    annotations = comparable["metadata"].pop("annotations", {})
    assert not annotations or comparable["kind"] == "Job"
    return comparable


@kustomize.needs_kubectl
@pytest.mark.parametrize("home", NAMESPACES)
def test_without_values_the_chart_equals_the_production_overlay(home: str) -> None:
    overlay = kustomize.render(DEPLOY / OVERLAYS[home] / "overlays/production")
    expected = {
        _key(document): _comparable(document)
        for document in overlay
        if document["kind"] != "Namespace"
    }
    found = {_key(document): _comparable(document) for document in _render({}, home)}
    assert found.keys() == expected.keys()
    job = ("Job", NAMESPACES[home], "leadline-migrate")
    settings = expected["ConfigMap", NAMESPACES[home], "leadline-settings"]["data"]
    _expand_settings(expected[job], settings)
    _sort_env(found[job])
    for key, document in found.items():
        assert document == expected[key]


def _expand_settings(job: Document, settings: dict[str, str]) -> None:
    """A hook can't refer to a ConfigMap that is created after it."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    del container["envFrom"]
    container["env"] += [{"name": name, "value": value} for name, value in settings.items()]
    _sort_env(job)


def _sort_env(job: Document) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"].sort(key=lambda variable: variable["name"])


@pytest.mark.parametrize("home", NAMESPACES)
def test_the_chart_may_be_installed_into_any_namespace(home: str) -> None:
    text = yaml.safe_dump_all(_render({"operatorsRoute": {"enabled": True}}, home, "crm"))
    assert f".{NAMESPACES[home]}.svc" not in text
    assert f"namespace: {NAMESPACES[home]}\n" not in text
    assert "NAMESPACE" not in text


# Valid objects


@pytest.mark.parametrize("home", NAMESPACES)
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_every_object_is_valid(values: dict[str, Any], home: str) -> None:
    with_functions = {"openfaas": {"functions": True}} if home == "openfaas" else {}
    documents = _render(values | with_functions, home)
    for document in documents:
        custom = MODELS.get((document["apiVersion"], document["kind"]))
        if custom:
            custom.model_validate(document)
        else:
            kubernetes_validate.validate(document, "1.32", strict=True)
    for name, pod in _pods(documents).items():
        assert violations(pod) == [], name


def test_knative_accepts_every_function() -> None:
    # Spreading functions needs a feature of Knative.
    documents = _render(EVERYTHING | {"knative": {"topologySpread": False}})
    functions = [document for document in documents if document["apiVersion"] == SERVING]
    assert len(functions) == len(stack().functions)
    assert [reason for function in functions for reason in refusals(function)] == []
    spread = [document for document in _render(EVERYTHING) if document["apiVersion"] == SERVING]
    assert {reason for pod in spread for reason in refusals(pod)} == {
        "spec.topologySpreadConstraints"
    }


@pytest.mark.parametrize("home", NAMESPACES)
def test_helm_lint_finds_no_problem(home: str) -> None:
    assert helm.lint(CHART, {"home": home}, NAMESPACES[home]) == []
    assert helm.lint(CHART, EVERYTHING | {"home": home}, NAMESPACES[home]) == []


@pytest.mark.parametrize(
    "values",
    [
        {"home": "lambda"},
        {"replicas": 3},
        {"functions": {"get_user": {"minScale": 1}}},
        {"functions": {"get-user": {"min": 1}}},
        {"functions": {"get-user": {"minScale": 4}}},
        {
            "home": "openfaas",
            "openfaas": {"functions": True},
            "functions": {"get-user": {"minScale": 4}},
        },
        {"processes": {"console": {"replicas": 1}}},
        {"settings": {"DATABASE_URL": "postgresql://user:password@host/db"}},
        {"settings": {"LEADLINE_BURST": 50}},
        {"networkPolicies": {"egress": {"mysql": {"ports": [3306]}}}},
        {"networkPolicies": {"egress": {"redis": {"ports": [0]}}}},
        {"existingSecrets": {"database-url": {"name": "pg", "key": "uri"}}},
        {"podDisruptionBudgets": {"maxUnavailable": "a few"}},
        {"processes": {"worker": {"replicas": 4}}},
        {"workerAutoscaling": {"minReplicas": 9}},
        {"workerAutoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        {"emulator": {"enabled": True, "storage": "plenty"}},
        {"processes": {"migrate": {"replicas": 2}}},
        {"rabbitmq": {"cluster": {"enabled": True, "replicas": 2}}},
        {"rabbitmq": {"cluster": {"enabled": True}, "namespace": "leadline"}},
        {
            "rabbitmq": {"users": {"enabled": True}},
            "settings": {"LEADLINE_REPLY_QUEUES": "core.responses"},
        },
        {
            "home": "openfaas",
            "openfaas": {"functions": True},
            "existingSecrets": {"api-keys": {"name": "keys", "key": "keys"}},
        },
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm.ChartError):
        helm.render(CHART, values, "leadline")


# What each value does


def test_images_come_from_one_repository_with_one_tag() -> None:
    pods = _pods(_render(EVERYTHING))
    for pod in pods.values():
        (container,) = pod["containers"]
        assert re.fullmatch(r"registry\.example\.com/acme/[a-z-]+:9\.9\.9", container["image"])
        assert container["imagePullPolicy"] == "Always"
        assert pod["imagePullSecrets"] == [{"name": "registry-login"}]
    ours = {image.image.partition("/leadline/")[2].partition(":")[0] for image in _images()}
    used = {pod["containers"][0]["image"].split("/")[-1].split(":")[0] for pod in pods.values()}
    assert used - {"local"} == ours  # the emulator runs in the image of a local run


def _images() -> list[Any]:
    return [*stack().functions.values(), processes()]


def test_a_setting_reaches_every_process_and_restarts_it() -> None:
    before, after = _render({}), _render({"settings": {"LEADLINE_PHONE_REGION": "KZ"}})
    ((old_name, _),) = _of_kind(before, "ConfigMap").items()
    ((new_name, settings),) = _of_kind(after, "ConfigMap").items()
    assert old_name != new_name
    assert settings["data"]["LEADLINE_PHONE_REGION"] == "KZ"
    pods = _pods(after)
    job = pods.pop("leadline-migrate")
    assert {"name": "LEADLINE_PHONE_REGION", "value": "KZ"} in job["containers"][0]["env"]
    for pod in pods.values():
        assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": new_name}}]


MAP = '[fields.city]\ntype = "text"\nlead = "UF_CRM_CITY"\n'
MAP_PATH = "/var/openfaas/secrets/leadline.toml"


def test_a_field_map_is_mounted_where_the_setting_says() -> None:
    documents = _render({"mapping": MAP})
    maps = _of_kind(documents, "ConfigMap")
    (settings,) = (
        configmap for name, configmap in maps.items() if name.startswith("leadline-settings")
    )
    assert settings["data"]["LEADLINE_MAPPING"] == MAP_PATH
    assert maps["leadline-mapping"]["data"] == {"leadline.toml": MAP}
    pods = _pods(documents)
    pods.pop("leadline-migrate")
    source = {"configMap": {"name": "leadline-mapping", "optional": True}}
    for name, pod in pods.items():
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
        assert source in volume["projected"]["sources"], name


def test_a_field_map_is_a_secret_of_functions_on_openfaas() -> None:
    values = {"mapping": MAP, "openfaas": {"functions": True}}
    documents = _render(values, "openfaas")
    assert _of_kind(documents, "Secret")["leadline.toml"]["stringData"] == {"leadline.toml": MAP}
    found = _of_kind(documents, "Function")
    assert found
    for function in found.values():
        assert "leadline.toml" in function["spec"]["secrets"]
        assert function["spec"]["environment"]["LEADLINE_MAPPING"] == MAP_PATH


def test_a_changed_map_restarts_nothing() -> None:
    renderings = [_pods(_render({"mapping": MAP + more})) for more in ("", "# changed\n")]
    assert renderings[0] == renderings[1]


def test_the_migration_precedes_everything_and_needs_nothing_of_the_release() -> None:
    (job,) = _of_kind(_render({}), "Job").values()
    # Argo CD runs these hooks as PreSync:
    # https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#helm-hooks
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }
    assert "configMap" not in json.dumps(job)


@pytest.mark.parametrize("home", NAMESPACES)
def test_an_installation_applies_everything_but_the_migration_after_it(home: str) -> None:
    after = helm.installed_objects(CHART, {"home": home}, NAMESPACES[home])
    everything = {_key(document) for document in _render({}, home)}
    assert everything - {_key(manifest) for manifest in after} == {
        ("Job", NAMESPACES[home], "leadline-migrate")
    }


def test_a_secret_may_have_another_name_and_key() -> None:
    mapped = {"database-url-owner": {"name": "postgres-app", "key": "uri"}}
    pods = _pods(_render({"existingSecrets": mapped | {"api-keys": {"name": "k", "key": "v"}}}))
    sources = pods["leadline-migrate"]["volumes"][0]["projected"]["sources"]
    assert sources == [
        {
            "secret": {
                "name": "postgres-app",
                "items": [{"key": "uri", "path": "database-url-owner"}],
            }
        }
    ]
    sources = pods["openapi"]["volumes"][0]["projected"]["sources"]
    # The last one is the field map.
    assert sources[:-1] == [{"secret": {"name": "k", "items": [{"key": "v", "path": "api-keys"}]}}]


def test_replicas_resources_and_scale_are_values() -> None:
    documents = _render(EVERYTHING)
    connector = _of_kind(documents, "Deployment")["leadline-connector"]
    assert connector["spec"]["replicas"] == 3
    (container,) = connector["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "256Mi"}}
    (scaled,) = _of_kind(documents, "ScaledObject").values()
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 16)
    function = next(
        document for document in documents if document["metadata"]["name"] == "get-user"
    )
    annotations = function["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/min-scale"] == "2"
    assert annotations["autoscaling.knative.dev/max-scale"] == "6"
    resources = EVERYTHING["functions"]["get-user"]["resources"]
    assert _pods(documents)["get-user"]["containers"][0]["resources"] == resources
    spec = _of_kind(_render(EVERYTHING | {"openfaas": {"functions": True}}, "openfaas"), "Function")
    labels = spec["get-user"]["spec"]["labels"]
    assert labels == {"com.openfaas.scale.min": "2", "com.openfaas.scale.max": "6"}
    assert spec["get-user"]["spec"]["limits"] == resources["limits"]


def test_without_keda_the_number_of_workers_is_a_value() -> None:
    values = {"workerAutoscaling": {"enabled": False}, "processes": {"worker": {"replicas": 4}}}
    documents = _render(values)
    assert not _of_kind(documents, "ScaledObject")
    assert _of_kind(documents, "Deployment")["leadline-worker"]["spec"]["replicas"] == 4


def test_pods_are_spread_by_their_own_name() -> None:
    values = copy.deepcopy(EVERYTHING) | {"knative": {"topologySpread": False}}
    for name, pod in _pods(_render(values)).items():
        if name.startswith("leadline-") and name != "leadline-emulator":
            (constraint,) = pod["topologySpreadConstraints"]
            label = name.removeprefix("leadline-")
            selector = {"matchLabels": {"app.kubernetes.io/name": label}}
            assert constraint["labelSelector"] == selector
            assert constraint["topologyKey"] == "zone"
        else:  # Knative refuses it without a feature flag
            assert "topologySpreadConstraints" not in pod
    assert "topologySpreadConstraints" in _pods(_render(EVERYTHING))["get-user"]


def test_budgets_are_values() -> None:
    budgets = _of_kind(_render(EVERYTHING), "PodDisruptionBudget")
    assert {budget["spec"]["maxUnavailable"] for budget in budgets.values()} == {"25%"}
    assert not _of_kind(
        _render({"podDisruptionBudgets": {"enabled": False}}), "PodDisruptionBudget"
    )


@pytest.mark.parametrize("home", NAMESPACES)
def test_addresses_and_ports_are_values(home: str) -> None:
    values = {"networkPolicies": EVERYTHING["networkPolicies"]}
    policies = _of_kind(_render(values, home), "NetworkPolicy").values()
    before = _of_kind(_render({}, home), "NetworkPolicy")
    for policy in policies:
        to = policy["metadata"]["labels"].get("leadline/egress-to")
        (rule,) = policy["spec"].get("egress") or [{}]
        if to == "postgres":
            assert rule["to"] == [{"ipBlock": {"cidr": "10.20.0.5/32"}}]
            assert rule["ports"] == [{"protocol": "TCP", "port": 6432}]
        elif to == "dns":
            assert rule["to"] == before[policy["metadata"]["name"]]["spec"]["egress"][0]["to"]
            assert rule["ports"] == [
                {"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")
            ]
        else:
            assert policy == before[policy["metadata"]["name"]]
    assert not _of_kind(_render({"networkPolicies": {"enabled": False}}, home), "NetworkPolicy")


@pytest.mark.parametrize("home", NAMESPACES)
def test_routes_are_values(home: str) -> None:
    routes = _of_kind(_render(EVERYTHING, home), "HTTPRoute")
    assert routes["leadline"]["spec"]["hostnames"] == ["leads.example.org"]
    assert routes["leadline"]["spec"]["parentRefs"] == [{"name": "edge", "namespace": "ingress"}]
    assert routes["leadline-operators"]["spec"]["hostnames"] == ["operators.leadline.example.com"]
    kinds = {document["kind"] for document in _render({"route": {"enabled": False}}, home)}
    assert not kinds & {"HTTPRoute", "ReferenceGrant"}


def test_prometheus_gets_our_rules_and_scrapes_as_our_example() -> None:
    documents = _render(EVERYTHING)
    (rule,) = _of_kind(documents, "PrometheusRule").values()
    assert [alert for group in rule["spec"]["groups"] for alert in group["rules"]] == rules()
    (monitor,) = _of_kind(documents, "PodMonitor").values()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    example = yaml.load(
        (DEPLOY / "monitoring/prometheus.yml").read_text(encoding="utf-8"), yaml.CSafeLoader
    )
    expected = [
        {
            re.sub(r"_(\w)", lambda match: match[1].upper(), key): value
            for key, value in config.items()
        }
        for config in example["scrape_configs"][0]["relabel_configs"]
    ]
    # The last one drops a label that Prometheus' operator adds.
    assert endpoint["relabelings"][:-1] == expected
    for policy in _of_kind(documents, "NetworkPolicy").values():
        assert "'monitoring'" not in str(policy["spec"])  # the namespace without this value
    assert not {"PodMonitor", "PrometheusRule"} & {document["kind"] for document in _render({})}


@pytest.mark.parametrize("home", NAMESPACES)
def test_a_trial_with_the_emulator_reaches_no_real_crm(home: str) -> None:
    values = {"emulator": {"enabled": True}, "openfaas": {"functions": home == "openfaas"}}
    documents = _render(values, home)
    assert "0.0.0.0/0" not in yaml.safe_dump(_of_kind(documents, "NetworkPolicy"))
    (webhook,) = _of_kind(documents, "Secret").values()
    host = f"leadline-emulator.{NAMESPACES[home]}.svc.cluster.local"
    assert webhook["stringData"]["bitrix-webhook-url"].startswith(f"http://{host}:3024/rest/")
    for pod in _pods(documents).values():
        for volume in pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                assert source.get("secret", {}).get("name") != "bitrix-webhook-url"
    (settings,) = _of_kind(documents, "ConfigMap").values()
    assert "bitrix24" in settings["data"]["LEADLINE_CLEARTEXT"].split(",")
    for function in _of_kind(documents, "Function").values():
        assert "bitrix-webhook-url" not in function["spec"]["secrets"]
        # faas-netes mounts each key of a Secret as a file of that name:
        # https://github.com/openfaas/faas-netes/blob/master/pkg/k8s/secrets.go
        assert "BITRIX_WEBHOOK_URL_FILE" not in function["spec"]["environment"]


@pytest.mark.parametrize("home", NAMESPACES)
def test_the_emulators_leads_outlive_its_pod(home: str) -> None:
    """A new emulator would reuse the ids of leads, which then belong to other users."""
    values = {"enabled": True, "storage": "5Gi", "storageClass": "fast"}
    documents = _render({"emulator": values}, home)
    (claim,) = _of_kind(documents, "PersistentVolumeClaim").values()
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert claim["spec"]["storageClassName"] == "fast"
    pod = _pods(documents)["leadline-emulator"]
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    state = container["command"][container["command"].index("--state") + 1]
    assert Path(state).is_relative_to(mount["mountPath"])
    (by_default,) = _of_kind(
        _render({"emulator": {"enabled": True}}), "PersistentVolumeClaim"
    ).values()
    assert "storageClassName" not in by_default["spec"]


def test_rabbitmqs_operators_get_a_cluster_and_a_user_for_each_login() -> None:
    values = {
        "cluster": {"enabled": True, "replicas": 5},
        "users": {"enabled": True},
        "vhost": "crm",
    }
    documents = _render({"rabbitmq": values}, namespace="sync")
    (cluster,) = _of_kind(documents, "RabbitmqCluster").values()
    assert cluster["spec"]["replicas"] == 5
    allowed = cluster["metadata"]["annotations"]["rabbitmq.com/topology-allowed-namespaces"]
    assert allowed == "sync"
    expected = {
        login.name: asdict(login.rabbitmq) for login in LOGINS if login.rabbitmq is not None
    }
    permissions = _of_kind(documents, "Permission")
    for name, user in _of_kind(documents, "User").items():
        spec = permissions.pop(name)["spec"]
        assert spec["userReference"] == {"name": name}
        assert spec["vhost"] == "crm"
        assert spec["permissions"] == expected.pop(name.removeprefix("leadline-"))
        for part in (spec, user["spec"]):
            where = {key: cluster["metadata"][key] for key in ("name", "namespace")}
            assert part["rabbitmqClusterReference"] == where
    assert (permissions, expected) == ({}, {})
    kinds = {document["kind"] for document in _render({})}
    assert not kinds & {"RabbitmqCluster", "User", "Permission"}


def test_openfaas_functions_are_those_of_the_stack() -> None:
    documents = _render({"openfaas": {"functions": True}}, "openfaas")
    found = _of_kind(documents, "Function")
    assert found.keys() == stack().functions.keys()
    for name, function in stack().functions.items():
        spec = found[name]["spec"]
        assert spec["image"] == function.image
        assert spec["environment"] == function.all_environment(CHECKOUT)
        assert spec["secrets"] == function.secrets
        assert spec["labels"] == function.labels
        assert spec["annotations"] == function.annotations
        assert spec["readOnlyRootFilesystem"] is True
        assert function.requests
        assert function.limits
        assert spec["requests"] == function.requests.model_dump()
        assert spec["limits"] == function.limits.model_dump()
    assert not _of_kind(_render({}, "openfaas"), "Function")


@pytest.mark.parametrize("home", NAMESPACES)
def test_the_guides_values_are_accepted(home: str) -> None:
    page = (CHECKOUT / "docs/deploy" / f"{home}.md").read_text(encoding="utf-8")
    # Before that the guide sets values of OpenFaaS' own chart.
    guide = page.partition("## With Helm")[2]
    # What follows in the first line of a block belongs to its comment.
    for block in re.findall(r"```yaml\n# values\.yaml(.*?)```", guide, re.DOTALL):
        assert _render(yaml.load("#" + block, yaml.CSafeLoader), home)
    for name in re.findall(r"(?:--set '?|`)((?:[a-zA-Z]+\.)?[a-zA-Z]+)=", guide):
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        assert name.split(".")[0] in schema["properties"], name


def test_the_notes_name_the_command_line_and_what_is_left_to_do() -> None:
    notes = {
        home: helm.texts(CHART, {"home": home}, namespace)["leadline/templates/NOTES.txt"]
        for home, namespace in NAMESPACES.items()
    }
    for home, namespace in NAMESPACES.items():
        assert f"kubectl -n {namespace} exec" in notes[home]
        assert "https://leadline.example.com/users" in notes[home]
    assert "faas-cli deploy -f stack.yml" in notes["openfaas"]
    assert "faas-cli" not in notes["knative"]


# The files


def test_a_package_contains_what_the_links_lead_to(tmp_path: Path) -> None:
    archive = helm.package(CHART, tmp_path)
    assert helm.render(archive, EVERYTHING, "leadline") == _render(EVERYTHING)


def test_every_link_leads_to_a_file_of_the_repository() -> None:
    """Argo CD refuses links that leave the repository."""
    links = [path for path in (CHART / "files").iterdir() if path.is_symlink()]
    assert links == [*(CHART / "files").iterdir()]
    for link in links:
        assert not Path(link.readlink()).is_absolute()
        assert link.resolve(strict=True).is_relative_to(CHECKOUT)


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    chart = yaml.load((CHART / "Chart.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {chart["version"], chart["appVersion"]} == {project["project"]["version"]}


def test_the_schema_knows_every_value_and_every_function() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.load((CHART / "values.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert schema["properties"].keys() - {"global"} == values.keys()
    names = schema["properties"]["functions"]["propertyNames"]["enum"]
    assert sorted(names) == sorted(stack().functions)

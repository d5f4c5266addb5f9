"""Argo CD renders the chart as `helm template` does, and applies it in its own phases."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy import helm
from tests.deploy.argo_cd import HOOK, SYNC, SYNC_OPTIONS, Treatment, treatment
from tests.deploy.manifests import SERVING, Document
from tests.deploy.test_helm import CHART, EVERYTHING, NAMESPACES

for_each_home = pytest.mark.parametrize("home", NAMESPACES)


def _render(home: str, values: dict[str, Any] | None = None) -> list[Document]:
    return helm.render(CHART, {**(values or {}), "home": home}, NAMESPACES[home])


def _treatments(documents: list[Document]) -> dict[str, Treatment]:
    return {
        f"{document['kind']}/{document['metadata']['name']}": treatment(document)
        for document in documents
    }


@for_each_home
def test_the_migration_runs_before_each_sync_and_replaces_the_last_one(home: str) -> None:
    found = _treatments(_render(home, EVERYTHING))
    migration = found.pop("Job/leadline-migrate")
    assert migration == Treatment(frozenset({"PreSync"}), frozenset({"BeforeHookCreation"}))
    assert {treatment.phases for treatment in found.values()} == {frozenset({SYNC})}


@for_each_home
def test_the_migration_before_a_sync_needs_no_other_object_of_the_chart(home: str) -> None:
    """The first PreSync runs while no other object of the chart exists."""
    documents = _render(home, EVERYTHING)
    (migration,) = (document for document in documents if treatment(document).phases == {"PreSync"})
    names = {document["metadata"]["name"] for document in documents if document is not migration}
    assert not names & set(_strings(migration["spec"]["template"]["spec"]))
    assert "serviceAccountName" not in json.dumps(migration)


@for_each_home
def test_a_finished_migration_stays_until_argo_cd_has_seen_it(home: str) -> None:
    """Argo CD reads the result with its next refresh, after 3 minutes at the latest by default."""
    (migration,) = (document for document in _render(home) if document["kind"] == "Job")
    assert migration["spec"]["ttlSecondsAfterFinished"] >= 600  # seconds: three refreshes


@for_each_home
def test_the_same_values_always_render_the_same(home: str) -> None:
    """Each refresh renders again; what differs is out of sync. No release and no cluster are known.

    https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#random-data
    """
    assert _render(home, EVERYTHING) == _render(home, EVERYTHING)
    words = r"\b(lookup|rand\w+|uuidv4|now|gen[A-Z]\w+|IsInstall|IsUpgrade|Revision)\b"
    for template in (CHART / "templates").iterdir():
        code = "".join(re.findall(r"\{\{(?!-? */\*).*?\}\}", template.read_text(encoding="utf-8")))
        assert not re.search(words, code), template.name


@for_each_home
def test_no_field_has_two_owners(home: str) -> None:
    """KEDA sets the number of workers: a value in the Deployment would be restored at each sync."""
    documents = _render(home)
    (scaled,) = (document for document in documents if document["kind"] == "ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]["name"]
    deployments = {
        document["metadata"]["name"]: document
        for document in documents
        if document["kind"] == "Deployment"
    }
    assert "replicas" not in deployments[target]["spec"]


def test_knative_finds_every_quantity_in_its_own_form() -> None:
    """Knative's webhook stores 1000m as 1: the function would always differ from the chart's.

    https://github.com/knative/pkg/blob/main/webhook/resourcesemantics/defaulting/defaulting.go
    (`roundTripPatch`: what Go's types read is written back). Of Kubernetes' own kinds Argo CD
    compares the values.
    """
    for document in _render("knative"):
        if document["apiVersion"] != SERVING:
            continue
        (container,) = document["spec"]["template"]["spec"]["containers"]
        for amounts in container["resources"].values():
            for amount in amounts.values():
                assert _is_canonical(amount), (document["metadata"]["name"], amount)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("1", True), ("1000m", False), ("1500m", True), ("64Mi", True), ("1024Mi", False), (1, False)],
)
def test_is_canonical_recognises_canonical_quantities(amount: object, *, expected: bool) -> None:
    assert _is_canonical(amount) == expected


def _is_canonical(amount: object) -> bool:
    """Whether a positive quantity is written with the largest suffix that makes it an integer.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    found = re.fullmatch(r"([1-9]\d*)(|m|Ki|Mi|Gi)", amount) if isinstance(amount, str) else None
    if found is None:
        return False
    number, suffix = int(found[1]), found[2]
    next_step = 1000 if suffix == "m" else 1024
    return suffix == "" or number % next_step != 0


@for_each_home
def test_no_selector_uses_the_label_that_argo_cd_sets(home: str) -> None:
    """Argo CD 2 sets app.kubernetes.io/instance by default, and a selector can't change.

    https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
    """
    assert "app.kubernetes.io/instance" not in json.dumps(_render(home, EVERYTHING))


@for_each_home
def test_messages_outlive_the_application(home: str) -> None:
    """Deleting honours Helm's annotation, pruning only Argo CD's own.

    https://github.com/argoproj/argo-cd/blob/master/controller/appcontroller.go (`shouldBeDeleted`)
    and https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-prune-resources
    """
    (cluster,) = (
        document for document in _render(home, EVERYTHING) if document["kind"] == "RabbitmqCluster"
    )
    annotations = cluster["metadata"]["annotations"]
    assert annotations["helm.sh/resource-policy"] == "keep"
    assert annotations[SYNC_OPTIONS] == "Prune=false"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, Treatment(frozenset({SYNC}))),
        ({"helm.sh/hook": "crd-install"}, Treatment(frozenset({SYNC}))),
        (
            {"helm.sh/hook": "pre-rollback"},
            Treatment(frozenset(), frozenset({"BeforeHookCreation"})),
        ),
        (
            {"helm.sh/hook": "post-install, test", "helm.sh/hook-delete-policy": "hook-failed"},
            Treatment(frozenset({"PostSync"}), frozenset({"HookFailed"})),
        ),
        (
            {HOOK: "PreSync", "helm.sh/hook": "post-install"},
            Treatment(frozenset({"PreSync"}), frozenset({"BeforeHookCreation"})),
        ),
        ({HOOK: "Skip"}, Treatment(frozenset({SYNC}))),
    ],
    ids=str,
)
def test_annotations_determine_how_argo_cd_treats_an_object(
    annotations: dict[str, str], expected: Treatment
) -> None:
    assert treatment({"metadata": {"name": "object", "annotations": annotations}}) == expected


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for element in value.values():
            yield from _strings(element)
    elif isinstance(value, list):
        for element in value:
            yield from _strings(element)
    elif isinstance(value, str):
        yield value

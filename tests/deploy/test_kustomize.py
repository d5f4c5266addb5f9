"""Files that a kustomization names exist, and the rendered manifests are complete and valid."""

import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.custom_resources import MODELS
from tests.deploy.kustomize import needs_kubectl, render
from tests.deploy.manifests import CHECKOUT, DEPLOY, Document, documents, files, kustomizations

OVERLAYS = sorted(path.parent for path in DEPLOY.glob("*/overlays/*/kustomization.yaml"))
#: The keys by which a kustomization names files or folders.
LISTS = ("resources", "components", "transformers", "configurations")


def _id(path: Path) -> str:
    return str(path.relative_to(DEPLOY).parent if path.is_file() else path.relative_to(DEPLOY))


def _files_named_in(kustomization: Path) -> list[Path]:
    (content,) = documents(kustomization)
    names = [name for kind in LISTS for name in content.get(kind, [])]
    names += [
        name
        for generator in content.get("configMapGenerator", [])
        for name in generator.get("envs", [])
    ]
    names += [patch["path"] for patch in content.get("patches", []) if "path" in patch]
    return [(kustomization.parent / name).resolve() for name in names]


@pytest.mark.parametrize("kustomization", kustomizations(), ids=_id)
def test_files_named_by_a_kustomization_exist(kustomization: Path) -> None:
    for path in _files_named_in(kustomization):
        found = path / "kustomization.yaml" if path.is_dir() else path
        assert found.is_file(), f"{path} is missing"


def test_no_manifest_is_forgotten() -> None:
    listed = {path for kustomization in kustomizations() for path in _files_named_in(kustomization)}
    manifests = {path for path in files() if path.name != "kustomization.yaml"}
    assert manifests - listed == {DEPLOY / "secrets.example.yaml"}


# The rest needs kustomize itself.


def _names(documents: list[Document], kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in documents if document["kind"] == kind}


def _values(value: Any, key: str) -> list[Any]:
    """Everything below this key, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, key)]
    if not isinstance(value, dict):
        return []
    below = [found for item in value.values() for found in _values(item, key)]
    return [value[key], *below] if key in value else below


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS, ids=_id)
def test_an_overlay_renders_to_valid_manifests(overlay: Path) -> None:
    for document in render(overlay):
        custom = MODELS.get((document["apiVersion"], document["kind"]))
        if custom:
            custom.model_validate(document)
        else:
            kubernetes_validate.validate(document, "1.32", strict=True)


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS, ids=_id)
def test_every_pod_gets_the_current_settings(overlay: Path) -> None:
    rendered = render(overlay)
    used = {value["name"] for value in _values(rendered, "configMapRef")}
    # The name contains the hash of the content: a changed setting restarts its readers.
    assert used == _names(rendered, "ConfigMap")
    assert re.fullmatch(r"leadline-settings-[a-z0-9]+", used.pop())


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS, ids=_id)
def test_every_namespaced_object_has_a_namespace(overlay: Path) -> None:
    without_namespace = [
        document["metadata"]["name"]
        for document in render(overlay)
        if "namespace" not in document["metadata"] and document["kind"] != "Namespace"
    ]
    assert not without_namespace
    # The placeholder in URLs has been replaced.
    assert "NAMESPACE" not in yaml.safe_dump(render(overlay))


@needs_kubectl
def test_one_component_sets_the_tag_of_every_image(tmp_path: Path) -> None:
    deploy = shutil.copytree(DEPLOY, tmp_path / "deploy")
    images = deploy / "components" / "images" / "kustomization.yaml"
    images.write_text(images.read_text().replace("newTag: 0.1.0", "newTag: 9.9.9"))
    for overlay in OVERLAYS:
        rendered = render(deploy / overlay.relative_to(DEPLOY))
        tags = {image for image in _values(rendered, "image") if "/leadline/" in image}
        assert tags
        assert all(image.endswith(":9.9.9") for image in tags)


@needs_kubectl
def test_the_rabbitmq_source_of_knative_replaces_the_connector(tmp_path: Path) -> None:
    deploy = shutil.copytree(DEPLOY, tmp_path / "deploy")
    overlay = deploy / "knative" / "overlays" / "production"
    kustomization = overlay / "kustomization.yaml"
    line = "  - ../../components/rabbitmq-source"
    assert f"#{line}" in kustomization.read_text()
    kustomization.write_text(kustomization.read_text().replace(f"#{line}", line))
    rendered = render(overlay)
    assert len(_names(rendered, "RabbitmqSource")) == 2
    # The source sends no key, and calls a function by its name in the cluster.
    served = {"LEADLINE_AUTH": "off", "ALLOWED_HOSTS": ".svc.cluster.local"}
    for name in ("bitrix-handler", "reply-handler"):
        (function,) = (
            document
            for document in rendered
            if document["kind"] == "Service" and document["metadata"]["name"] == name
        )
        (container,) = function["spec"]["template"]["spec"]["containers"]
        env = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert env.items() >= served.items(), name
    assert "leadline-connector" not in _names(rendered, "Deployment")


@needs_kubectl
@pytest.mark.parametrize("platform", ["knative", "kubernetes"])
def test_operators_may_have_a_separate_host(tmp_path: Path, platform: str) -> None:
    deploy = shutil.copytree(DEPLOY, tmp_path / "deploy")
    overlay = deploy / platform / "overlays" / "production"
    assert _names(render(overlay), "HTTPRoute") == {"leadline"}
    kustomization = overlay / "kustomization.yaml"
    line = "  - ../../components/operators-route"
    assert f"#{line}" in kustomization.read_text()
    kustomization.write_text(kustomization.read_text().replace(f"#{line}", line))
    render.cache_clear()  # of the overlay before the change
    routes = [document["spec"] for document in render(overlay) if document["kind"] == "HTTPRoute"]
    assert len({route["hostnames"][0] for route in routes}) == 2
    assert len({route["parentRefs"][0]["name"] for route in routes}) == 2


def test_the_overlays_exist() -> None:
    assert {str(overlay.relative_to(CHECKOUT)) for overlay in OVERLAYS} == {
        f"deploy/{platform}/overlays/{kind}"
        for platform in ("knative", "kubernetes")
        for kind in ("development", "production")
    }

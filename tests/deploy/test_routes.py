"""A cluster's routes lead each call to the same function as the local edge."""

from dataclasses import dataclass

import pytest

from local.gateway.routes import INTERNAL, Refusal, Target, route
from tests.deploy.custom_resources import HttpRoute, PathRewrite, Rule
from tests.deploy.manifests import DEPLOY, of_kind, resources

METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
PATHS = (
    *("/users", "/users/42", "/users/42/move", "/users/42/other", "/users/", "/", "/healthz"),
    *("/users/batch", "/users/by-external-id/crm-1", "/users/by-external-id", "/users/batch/1"),
    *("/stages", "/stages/1", "/consoles", "/docsx"),
)
#: Functions for operators, on a separate route.
OPERATORS_PATHS = (
    *("/openapi.json", "/docs", "/docs/swagger-ui.css"),
    *("/console", "/console/", "/console/api/status"),
)
PATHS_OF_THE_GATEWAY = (
    *(f"/function/{name}" for name in ("create-user", "console", *sorted(INTERNAL))),
    *("/system/functions", "/async-function/create-user"),
)


@dataclass(frozen=True)
class Cluster:
    """A cluster's routes: the rules of an HTTPRoute, evaluated as the Gateway API specifies."""

    rules: list[Rule]

    def route(self, method: str, path: str) -> Target | None:
        """The function and the path that it receives."""
        found = [
            (match.path.type == "Exact", len(match.path.value), rule, match.path.value)
            for rule in self.rules
            for match in rule.matches
            if match.method == method and _matches(match.path.type, match.path.value, path)
        ]
        if not found:
            return None
        # Among equals the first in the list wins.
        _, _, rule, matched = max(found, key=lambda candidate: candidate[:2])
        rewrite = rule.filters[0].rewrite
        if rewrite.hostname:  # Knative finds the function by its name
            return Target(rewrite.hostname.split(".")[0], path)
        assert rewrite.path
        return _behind_the_gateway(_rewrite(rewrite.path, matched, path))


def _matches(kind: str, value: str, path: str) -> bool:
    if kind == "Exact":
        return path == value
    return path == value or path.startswith(value.rstrip("/") + "/")


def _rewrite(rewrite: PathRewrite, matched: str, path: str) -> str:
    return rewrite.full or f"{rewrite.prefix}{path.removeprefix(matched)}"


def _behind_the_gateway(path: str) -> Target:
    _, function, name, rest = path.split("/", 3)
    assert function == "function"
    return Target(name, f"/{rest}")


def _cluster(platform: str, name: str) -> Cluster:
    documents = of_kind("HTTPRoute", DEPLOY / platform)
    (document,) = (document for document in documents if document["metadata"]["name"] == name)
    return Cluster(HttpRoute.model_validate(document).spec.rules)


@pytest.fixture(params=["knative", "kubernetes"])
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(platform: str) -> Cluster:
    """The public routes."""
    return _cluster(platform, "leadline")


@pytest.fixture
def operators(platform: str) -> Cluster:
    """The routes of a component that an overlay may include."""
    return _cluster(platform, "leadline-operators")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_a_call_reaches_the_same_function_as_locally(
    cluster: Cluster, method: str, path: str
) -> None:
    expected, actual = route(method, path), cluster.route(method, path)
    if isinstance(expected, Refusal):
        # A prefix matches more than the edge does: there the function itself decides.
        assert actual is None or path.startswith("/users")
    else:
        assert actual == expected


@pytest.mark.parametrize("path", [*PATHS_OF_THE_GATEWAY, *OPERATORS_PATHS])
def test_only_the_rest_paths_are_public(cluster: Cluster, path: str) -> None:
    assert not [method for method in METHODS if cluster.route(method, path)]


@pytest.mark.parametrize("path", OPERATORS_PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_operators_reach_the_same_function_as_locally(
    operators: Cluster, method: str, path: str
) -> None:
    expected = route(method, path)
    assert operators.route(method, path) == (None if isinstance(expected, Refusal) else expected)


@pytest.mark.parametrize("path", [*PATHS, *PATHS_OF_THE_GATEWAY])
def test_operators_have_no_second_route_to_the_rest_api(operators: Cluster, path: str) -> None:
    assert not [method for method in METHODS if operators.route(method, path)]


def test_only_the_component_has_a_route_for_operators() -> None:
    for path, document in resources():
        if document["kind"] == "HTTPRoute" and document["metadata"]["name"] != "leadline":
            assert path.parent.name == "operators-route"


def test_knative_allows_the_route_to_use_its_ingress() -> None:
    routes = of_kind("HTTPRoute", DEPLOY / "knative")
    (grant,) = of_kind("ReferenceGrant", DEPLOY / "knative")
    rules = [rule for manifest in routes for rule in HttpRoute.model_validate(manifest).spec.rules]
    backends = {(backend.namespace, backend.name) for rule in rules for backend in rule.backends}
    granted = {(grant["metadata"]["namespace"], target["name"]) for target in grant["spec"]["to"]}
    assert backends == granted
    assert [source["namespace"] for source in grant["spec"]["from"]] == sorted(
        {manifest["metadata"]["namespace"] for manifest in routes}
    )

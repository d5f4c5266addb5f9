"""Strict models of the custom resources that we use, from their public definitions.

They accept only the fields that we use: a typo or a moved field is an error. Core kinds are checked
against Kubernetes' own schemas instead.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[str, StringConstraints(pattern=r"^\d+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(_Strict):
    """`name` and `namespace` are DNS labels."""

    name: Label
    namespace: Label | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


# https://knative.dev/docs/reference/api/serving-api/


class RevisionAnnotations(_Strict):
    """Annotations of a revision; on the Service itself they have no effect."""

    scrape: Literal["true"] = Field(alias="prometheus.io/scrape")
    port: Literal["8080"] = Field(alias="prometheus.io/port")
    min_scale: Count = Field(alias="autoscaling.knative.dev/min-scale")
    max_scale: Count = Field(alias="autoscaling.knative.dev/max-scale")


class RevisionMetadata(_Strict):
    """Metadata of a revision's template."""

    labels: dict[str, str]
    annotations: RevisionAnnotations


class RevisionSpec(_Strict):
    """The part of a pod that Knative accepts, and its own fields."""

    container_concurrency: Annotated[int, Field(ge=1, le=1000, alias="containerConcurrency")]
    timeout_s: Annotated[int, Field(ge=1, le=600, alias="timeoutSeconds")]
    automount: Literal[False] = Field(alias="automountServiceAccountToken")
    service_links: Literal[False] = Field(alias="enableServiceLinks")
    #: Validated as containers of a pod.
    containers: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1)]
    volumes: list[dict[str, Any]]
    pull_secrets: list[dict[str, str]] = Field(default_factory=list, alias="imagePullSecrets")
    #: Needs the feature kubernetes.podspec-topologyspreadconstraints.
    topology: list[dict[str, Any]] = Field(default_factory=list, alias="topologySpreadConstraints")


class RevisionTemplate(_Strict):
    """A template; each change of it makes a new revision."""

    metadata: RevisionMetadata
    spec: RevisionSpec


class ServiceSpec(_Strict):
    """The spec of a Service, whose traffic goes to the newest revision."""

    template: RevisionTemplate


class KnativeService(_Strict):
    """serving.knative.dev/v1 Service."""

    api_version: Literal["serving.knative.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


# https://knative.dev/docs/eventing/reference/eventing-api/ and eventing-rabbitmq's types


class SinkRef(_Strict):
    """A reference to a function."""

    api_version: Literal["serving.knative.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["Service"]
    name: Label


class Sink(_Strict):
    """The receiver of events."""

    ref: SinkRef


class ConnectionSecret(_Strict):
    """A Secret with `username`, `password`, `uri` (of the management API) and `port`."""

    name: Label


class ClusterReference(_Strict):
    """A reference to a RabbitMQ that no operator manages."""

    connection_secret: ConnectionSecret = Field(alias="connectionSecret")


class Queue(_Strict):
    """A predeclared queue: the source itself would declare one without dead letters."""

    queue_name: str = Field(alias="queueName")
    predeclared: Literal[True]
    parallelism: Annotated[int, Field(ge=1, le=1000)]


class Delivery(_Strict):
    """Retries: `retry` counts the attempts after the first; delays are in ISO 8601."""

    retry: Annotated[int, Field(ge=1)]
    backoff_policy: Literal["linear", "exponential"] = Field(alias="backoffPolicy")
    backoff_delay: Annotated[str, StringConstraints(pattern=r"^PT\d+S$")] = Field(
        alias="backoffDelay"
    )


class RabbitmqSourceSpec(_Strict):
    """The spec of a source, immutable once created."""

    cluster: ClusterReference = Field(alias="rabbitmqClusterReference")
    queue: Queue = Field(alias="rabbitmqResourcesConfig")
    delivery: Delivery
    sink: Sink


class RabbitmqSource(_Strict):
    """sources.knative.dev/v1alpha1 RabbitmqSource."""

    api_version: Literal["sources.knative.dev/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["RabbitmqSource"]
    metadata: Metadata
    spec: RabbitmqSourceSpec


# https://keda.sh/docs/latest/reference/scaledobject-spec/ and its scaler "Metrics API"


class MetricsApi(_Strict):
    """A scaler's metric; numbers are strings."""

    url: Annotated[str, StringConstraints(pattern=r"^http://[\w.-]+:\d+/metrics$")]
    format: Literal["prometheus"]
    value_location: str = Field(alias="valueLocation")
    target_value: Count = Field(alias="targetValue")


class Trigger(_Strict):
    """A trigger that scales."""

    type: Literal["metrics-api"]
    metadata: MetricsApi


class ScaleTarget(_Strict):
    """A reference to a Deployment of the same namespace."""

    name: Label


class Fallback(_Strict):
    """The replicas while the metric is unavailable."""

    failure_threshold: Annotated[int, Field(ge=1, alias="failureThreshold")]
    replicas: Annotated[int, Field(ge=1)]


class ScaledObjectSpec(_Strict):
    """The spec of a ScaledObject; never scales to zero, as the wake timer runs in a worker.

    Without scaling to zero, pollingInterval and cooldownPeriod have no effect, and KEDA's webhook
    warns of them: https://github.com/kedacore/keda/blob/main/apis/keda/v1alpha1/scaledobject_webhook.go
    """

    target: ScaleTarget = Field(alias="scaleTargetRef")
    least: Annotated[int, Field(ge=1, alias="minReplicaCount")]
    most: Annotated[int, Field(ge=1, alias="maxReplicaCount")]
    fallback: Fallback
    triggers: Annotated[list[Trigger], Field(min_length=1)]

    @model_validator(mode="after")
    def _require_at_least_as_many_as_the_least(self) -> "ScaledObjectSpec":
        # The definition's own rule, which a schema can't say.
        if self.least > self.most:
            raise ValueError("minReplicaCount must be less than or equal to maxReplicaCount")
        return self


class ScaledObject(_Strict):
    """keda.sh/v1alpha1 ScaledObject."""

    api_version: Literal["keda.sh/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


# https://gateway-api.sigs.k8s.io/reference/spec/


class ParentRef(_Strict):
    """A reference to the Gateway that accepts the requests."""

    name: Label
    namespace: Label


class PathMatch(_Strict):
    """A path to match: an exact one precedes any prefix, a longer prefix a shorter one."""

    type: Literal["Exact", "PathPrefix"]
    #: Without `//`, `.`, `..`, `#`, `%2f`, which the definition's rules refuse.
    value: Annotated[str, StringConstraints(pattern=r"^/$|^(?:/[\w-][\w.-]*)+$")]


class Match(_Strict):
    """A match, of both path and method."""

    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
    path: PathMatch


class PathRewrite(_Strict):
    """A replacement of the whole path or of the matched prefix."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    full: str | None = Field(None, alias="replaceFullPath")
    prefix: str | None = Field(None, alias="replacePrefixMatch")

    @model_validator(mode="after")
    def _require_the_field_of_the_type(self) -> "PathRewrite":
        is_full = self.type == "ReplaceFullPath"
        if (self.full is None) == is_full or (self.prefix is None) != is_full:
            raise ValueError("the type and the replaced part differ")
        return self


class Rewrite(_Strict):
    """A rewrite of host name, path or both."""

    hostname: Host | None = None
    path: PathRewrite | None = None


class Filter(_Strict):
    """A change of the request."""

    type: Literal["URLRewrite"]
    rewrite: Rewrite = Field(alias="urlRewrite")


class Backend(_Strict):
    """A reference to a Service; another namespace needs a ReferenceGrant there."""

    name: Label
    namespace: Label | None = None
    port: Port


class Rule(_Strict):
    """A rule; it applies if any of its matches does."""

    matches: Annotated[list[Match], Field(min_length=1, max_length=64)]
    filters: Annotated[list[Filter], Field(min_length=1, max_length=1)]
    backends: Annotated[list[Backend], Field(min_length=1, max_length=1, alias="backendRefs")]

    @model_validator(mode="after")
    def _require_one_match_for_a_prefix(self) -> "Rule":
        rewritten = self.filters[0].rewrite.path
        replaces_prefix = rewritten is not None and rewritten.prefix is not None
        if replaces_prefix and [match.path.type for match in self.matches] != ["PathPrefix"]:
            raise ValueError("ReplacePrefixMatch goes with exactly one match, of a PathPrefix")
        return self


#: By a rule of the definition, in addition to the limits of each list.
_MATCHES_MAX = 128


class HttpRouteSpec(_Strict):
    """The spec of a route, with at most 16 rules."""

    parents: Annotated[list[ParentRef], Field(min_length=1, alias="parentRefs")]
    hostnames: list[Host]
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _limit_matches(self) -> "HttpRouteSpec":
        if sum(len(rule.matches) for rule in self.rules) > _MATCHES_MAX:
            raise ValueError(f"a route has at most {_MATCHES_MAX} matches in all its rules")
        return self


class HttpRoute(_Strict):
    """gateway.networking.k8s.io/v1 HTTPRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1"] = Field(alias="apiVersion")
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: HttpRouteSpec


class GrantedFrom(_Strict):
    """The kind and namespace of objects that may refer."""

    group: Literal["gateway.networking.k8s.io"]
    kind: Literal["HTTPRoute"]
    namespace: Label


class GrantedTo(_Strict):
    """The object that may be referred to; the core group's name is empty."""

    group: Literal[""]
    kind: Literal["Service"]
    name: Label


class GrantSpec(_Strict):
    """References allowed from any source to any target."""

    sources: Annotated[list[GrantedFrom], Field(min_length=1, alias="from")]
    targets: Annotated[list[GrantedTo], Field(min_length=1, alias="to")]


class ReferenceGrant(_Strict):
    """gateway.networking.k8s.io/v1beta1 ReferenceGrant."""

    api_version: Literal["gateway.networking.k8s.io/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["ReferenceGrant"]
    metadata: Metadata
    spec: GrantSpec


# https://github.com/openfaas/faas-netes/blob/master/artifacts/crds/openfaas.com_functions.yaml


class FunctionResources(_Strict):
    """Resource quantities."""

    cpu: str
    memory: str


class FunctionSpec(_Strict):
    """The spec of an OpenFaaS function; `secrets` are names of Secrets in its namespace."""

    name: Label
    image: str
    environment: dict[str, str]
    secrets: list[Label]
    labels: dict[str, str]
    annotations: dict[str, str]
    requests: FunctionResources
    limits: FunctionResources
    read_only: Literal[True] = Field(alias="readOnlyRootFilesystem")


class OpenFaasFunction(_Strict):
    """openfaas.com/v1 Function, for OpenFaaS Standard."""

    api_version: Literal["openfaas.com/v1"] = Field(alias="apiVersion")
    kind: Literal["Function"]
    metadata: Metadata
    spec: FunctionSpec


# https://prometheus-operator.dev/docs/api-reference/api/


class Relabeling(_Strict):
    """Prometheus' relabel_config in camel case."""

    source_labels: list[str] = Field(default_factory=list, alias="sourceLabels")
    separator: str | None = None
    regex: str | None = None
    action: Literal["keep", "labeldrop"] | None = None
    target_label: str | None = Field(None, alias="targetLabel")
    replacement: str | None = None


class PodMetricsEndpoint(_Strict):
    """An endpoint without a port: the relabelings set the address."""

    path: Annotated[str, StringConstraints(pattern=r"^/")]
    relabelings: list[Relabeling]


class PodMonitorSpec(_Strict):
    """The spec of a PodMonitor, for pods in its namespace."""

    selector: dict[str, Any]
    endpoints: list[PodMetricsEndpoint] = Field(alias="podMetricsEndpoints")


class PodMonitor(_Strict):
    """monitoring.coreos.com/v1 PodMonitor."""

    api_version: Literal["monitoring.coreos.com/v1"] = Field(alias="apiVersion")
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


class AlertRule(_Strict):
    """An alert as in a file of rules."""

    alert: str
    expr: str
    wait: str | None = Field(None, alias="for")
    keep: str | None = Field(None, alias="keep_firing_for")
    labels: dict[str, str]
    annotations: dict[str, str]


class RuleGroup(_Strict):
    """A group of rules, evaluated together."""

    name: str
    rules: list[AlertRule]


class PrometheusRuleSpec(_Strict):
    """The content of a file of rules."""

    groups: list[RuleGroup]


class PrometheusRule(_Strict):
    """monitoring.coreos.com/v1 PrometheusRule."""

    api_version: Literal["monitoring.coreos.com/v1"] = Field(alias="apiVersion")
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec


# https://github.com/rabbitmq/cluster-operator/blob/main/api/v1beta1/rabbitmqcluster_types.go


class Persistence(_Strict):
    """The disk of each node."""

    storage: str


class RabbitmqConfiguration(_Strict):
    """Settings in the format of rabbitmq.conf."""

    additional: Annotated[str, StringConstraints(max_length=2000)] = Field(alias="additionalConfig")


class RabbitmqClusterSpec(_Strict):
    """The spec of a cluster; RabbitMQ's operator tests only 1, 3 and 5 replicas."""

    replicas: Literal[1, 3, 5]
    persistence: Persistence
    rabbitmq: RabbitmqConfiguration


class RabbitmqCluster(_Strict):
    """rabbitmq.com/v1beta1 RabbitmqCluster."""

    api_version: Literal["rabbitmq.com/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["RabbitmqCluster"]
    metadata: Metadata
    spec: RabbitmqClusterSpec


# https://github.com/rabbitmq/messaging-topology-operator/tree/main/api/v1beta1


class LocalReference(_Strict):
    """A reference to an object of the same namespace."""

    name: Label


class RabbitmqClusterReference(_Strict):
    """A reference to a cluster, which allows other namespaces by an annotation."""

    name: Label
    namespace: Label


class RabbitmqUserSpec(_Strict):
    """The spec of a user; the Secret has `username` and `password` or `passwordHash`."""

    credentials: LocalReference = Field(alias="importCredentialsSecret")
    cluster: RabbitmqClusterReference = Field(alias="rabbitmqClusterReference")


class RabbitmqUser(_Strict):
    """rabbitmq.com/v1beta1 User."""

    api_version: Literal["rabbitmq.com/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["User"]
    metadata: Metadata
    spec: RabbitmqUserSpec


class RabbitmqPermissions(_Strict):
    """Patterns of the names that a user may configure, write and read."""

    configure: str
    write: str
    read: str


class RabbitmqPermissionSpec(_Strict):
    """The spec of a permission, which refers to a User object."""

    vhost: str
    user: LocalReference = Field(alias="userReference")
    permissions: RabbitmqPermissions
    cluster: RabbitmqClusterReference = Field(alias="rabbitmqClusterReference")


class RabbitmqPermission(_Strict):
    """rabbitmq.com/v1beta1 Permission."""

    api_version: Literal["rabbitmq.com/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["Permission"]
    metadata: Metadata
    spec: RabbitmqPermissionSpec


MODELS: dict[tuple[str, str], type[BaseModel]] = {
    ("serving.knative.dev/v1", "Service"): KnativeService,
    ("sources.knative.dev/v1alpha1", "RabbitmqSource"): RabbitmqSource,
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HttpRoute,
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"): ReferenceGrant,
    ("openfaas.com/v1", "Function"): OpenFaasFunction,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): RabbitmqCluster,
    ("rabbitmq.com/v1beta1", "User"): RabbitmqUser,
    ("rabbitmq.com/v1beta1", "Permission"): RabbitmqPermission,
}

"""Strict models of the custom kinds that we use, after their public definitions.

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
    """Of the template."""

    labels: dict[str, str]
    annotations: RevisionAnnotations


class RevisionSpec(_Strict):
    """The part of a pod that Knative accepts, and its own fields."""

    container_concurrency: Annotated[int, Field(ge=1, le=1000, alias="containerConcurrency")]
    timeout_s: Annotated[int, Field(ge=1, le=600, alias="timeoutSeconds")]
    automount: Literal[False] = Field(alias="automountServiceAccountToken")
    service_links: Literal[False] = Field(alias="enableServiceLinks")
    #: A pod's, validated as such.
    containers: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1)]
    volumes: list[dict[str, Any]]
    pull_secrets: list[dict[str, str]] = Field(default_factory=list, alias="imagePullSecrets")
    #: Only with the feature kubernetes.podspec-topologyspreadconstraints.
    topology: list[dict[str, Any]] = Field(default_factory=list, alias="topologySpreadConstraints")


class RevisionTemplate(_Strict):
    """A change of it makes a new revision."""

    metadata: RevisionMetadata
    spec: RevisionSpec


class ServiceSpec(_Strict):
    """Traffic goes to the newest revision."""

    template: RevisionTemplate


class KnativeService(_Strict):
    """serving.knative.dev/v1 Service."""

    api_version: Literal["serving.knative.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


# https://knative.dev/docs/eventing/reference/eventing-api/ and eventing-rabbitmq's types


class SinkRef(_Strict):
    """A function."""

    api_version: Literal["serving.knative.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["Service"]
    name: Label


class Sink(_Strict):
    """Where events go."""

    ref: SinkRef


class ConnectionSecret(_Strict):
    """Has `username`, `password`, `uri` (of the management API) and `port`."""

    name: Label


class ClusterReference(_Strict):
    """A RabbitMQ without an operator."""

    connection_secret: ConnectionSecret = Field(alias="connectionSecret")


class Queue(_Strict):
    """Predeclared, as the source would declare one without dead letters."""

    queue_name: str = Field(alias="queueName")
    predeclared: Literal[True]
    parallelism: Annotated[int, Field(ge=1, le=1000)]


class Delivery(_Strict):
    """`retry` counts the attempts after the first; delays in ISO 8601."""

    retry: Annotated[int, Field(ge=1)]
    backoff_policy: Literal["linear", "exponential"] = Field(alias="backoffPolicy")
    backoff_delay: Annotated[str, StringConstraints(pattern=r"^PT\d+S$")] = Field(
        alias="backoffDelay"
    )


class RabbitmqSourceSpec(_Strict):
    """Immutable once created."""

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
    """Numbers are strings here."""

    url: Annotated[str, StringConstraints(pattern=r"^http://[\w.-]+:\d+/metrics$")]
    format: Literal["prometheus"]
    value_location: str = Field(alias="valueLocation")
    target_value: Count = Field(alias="targetValue")


class Trigger(_Strict):
    """One reason to scale."""

    type: Literal["metrics-api"]
    metadata: MetricsApi


class ScaleTarget(_Strict):
    """A Deployment of the same namespace."""

    name: Label


class Fallback(_Strict):
    """Applies while the metric is unavailable."""

    failure_threshold: Annotated[int, Field(ge=1, alias="failureThreshold")]
    replicas: Annotated[int, Field(ge=1)]


class ScaledObjectSpec(_Strict):
    """Never to zero: retries and wake-ups need a worker's alarm."""

    target: ScaleTarget = Field(alias="scaleTargetRef")
    least: Annotated[int, Field(ge=1, alias="minReplicaCount")]
    most: Annotated[int, Field(ge=1, alias="maxReplicaCount")]
    polling_s: Annotated[int, Field(ge=1, alias="pollingInterval")]
    cooldown_s: Annotated[int, Field(ge=0, alias="cooldownPeriod")]
    fallback: Fallback
    triggers: Annotated[list[Trigger], Field(min_length=1)]


class ScaledObject(_Strict):
    """keda.sh/v1alpha1 ScaledObject."""

    api_version: Literal["keda.sh/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


# https://gateway-api.sigs.k8s.io/reference/spec/


class ParentRef(_Strict):
    """The Gateway that accepts the requests."""

    name: Label
    namespace: Label


class PathMatch(_Strict):
    """Exact precedes any prefix, a longer prefix a shorter one."""

    type: Literal["Exact", "PathPrefix"]
    value: Annotated[str, StringConstraints(pattern=r"^/")]


class Match(_Strict):
    """Path and method must both match."""

    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
    path: PathMatch


class PathRewrite(_Strict):
    """Either the whole path or the matched prefix."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    full: str | None = Field(None, alias="replaceFullPath")
    prefix: str | None = Field(None, alias="replacePrefixMatch")

    @model_validator(mode="after")
    def _one_of_them(self) -> "PathRewrite":
        is_full = self.type == "ReplaceFullPath"
        if (self.full is None) == is_full or (self.prefix is None) != is_full:
            raise ValueError("the type names another field than the one given")
        return self


class Rewrite(_Strict):
    """Host name, path or both."""

    hostname: Host | None = None
    path: PathRewrite | None = None


class Filter(_Strict):
    """One change of the request."""

    type: Literal["URLRewrite"]
    rewrite: Rewrite = Field(alias="urlRewrite")


class Backend(_Strict):
    """A Service; one of another namespace only with a ReferenceGrant there."""

    name: Label
    namespace: Label | None = None
    port: Port


class Rule(_Strict):
    """Any one match suffices."""

    matches: Annotated[list[Match], Field(min_length=1, max_length=64)]
    filters: Annotated[list[Filter], Field(min_length=1, max_length=1)]
    backends: Annotated[list[Backend], Field(min_length=1, max_length=1, alias="backendRefs")]

    @model_validator(mode="after")
    def _a_prefix_is_replaced_for_one_match(self) -> "Rule":
        rewritten = self.filters[0].rewrite.path
        replaces_prefix = rewritten is not None and rewritten.prefix is not None
        if replaces_prefix and [match.path.type for match in self.matches] != ["PathPrefix"]:
            raise ValueError("ReplacePrefixMatch goes with exactly one match, of a PathPrefix")
        return self


class HttpRouteSpec(_Strict):
    """At most 16 rules."""

    parents: Annotated[list[ParentRef], Field(min_length=1, alias="parentRefs")]
    hostnames: list[Host]
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


class HttpRoute(_Strict):
    """gateway.networking.k8s.io/v1 HTTPRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1"] = Field(alias="apiVersion")
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: HttpRouteSpec


class GrantedFrom(_Strict):
    """Who may refer."""

    group: Literal["gateway.networking.k8s.io"]
    kind: Literal["HTTPRoute"]
    namespace: Label


class GrantedTo(_Strict):
    """To what; the core group's name is empty."""

    group: Literal[""]
    kind: Literal["Service"]
    name: Label


class GrantSpec(_Strict):
    """From any of these to any of those."""

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
    """Quantities."""

    cpu: str
    memory: str


class FunctionSpec(_Strict):
    """An OpenFaaS function; secrets by the names of Secrets in its namespace."""

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
    """As Prometheus' relabel_config, in camel case."""

    source_labels: list[str] = Field(default_factory=list, alias="sourceLabels")
    separator: str | None = None
    regex: str | None = None
    action: Literal["keep", "labeldrop"] | None = None
    target_label: str | None = Field(None, alias="targetLabel")
    replacement: str | None = None


class PodMetricsEndpoint(_Strict):
    """Without a port: the relabelings set the address."""

    path: Annotated[str, StringConstraints(pattern=r"^/")]
    relabelings: list[Relabeling]


class PodMonitorSpec(_Strict):
    """Of the pods in its namespace."""

    selector: dict[str, Any]
    endpoints: list[PodMetricsEndpoint] = Field(alias="podMetricsEndpoints")


class PodMonitor(_Strict):
    """monitoring.coreos.com/v1 PodMonitor."""

    api_version: Literal["monitoring.coreos.com/v1"] = Field(alias="apiVersion")
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


class AlertRule(_Strict):
    """As in a file of rules."""

    alert: str
    expr: str
    wait: str | None = Field(None, alias="for")
    keep: str | None = Field(None, alias="keep_firing_for")
    labels: dict[str, str]
    annotations: dict[str, str]


class RuleGroup(_Strict):
    """Evaluated together."""

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
    """Of each node."""

    storage: str


class RabbitmqConfiguration(_Strict):
    """In the format of rabbitmq.conf."""

    additional: Annotated[str, StringConstraints(max_length=2000)] = Field(alias="additionalConfig")


class RabbitmqClusterSpec(_Strict):
    """Only 1, 3 and 5 replicas are tested."""

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


class Named(_Strict):
    """A reference within the namespace."""

    name: Label


class RabbitmqClusterReference(_Strict):
    """The cluster allows other namespaces by an annotation."""

    name: Label
    namespace: Label


class RabbitmqUserSpec(_Strict):
    """The Secret has the keys `username` and `password`, or `passwordHash`."""

    credentials: Named = Field(alias="importCredentialsSecret")
    cluster: RabbitmqClusterReference = Field(alias="rabbitmqClusterReference")


class RabbitmqUser(_Strict):
    """rabbitmq.com/v1beta1 User."""

    api_version: Literal["rabbitmq.com/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["User"]
    metadata: Metadata
    spec: RabbitmqUserSpec


class RabbitmqRights(_Strict):
    """Patterns of names."""

    configure: str
    write: str
    read: str


class RabbitmqPermissionSpec(_Strict):
    """Of a User object, or of a user by name."""

    vhost: str
    user: Named = Field(alias="userReference")
    permissions: RabbitmqRights
    cluster: RabbitmqClusterReference = Field(alias="rabbitmqClusterReference")


class RabbitmqPermission(_Strict):
    """rabbitmq.com/v1beta1 Permission."""

    api_version: Literal["rabbitmq.com/v1beta1"] = Field(alias="apiVersion")
    kind: Literal["Permission"]
    metadata: Metadata
    spec: RabbitmqPermissionSpec


CUSTOM: dict[tuple[str, str], type[BaseModel]] = {
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

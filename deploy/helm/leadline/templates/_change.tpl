{{/*
How values change an object of the manifests. Each takes root and document (or pod), changes it in place, and prints nothing.
*/}}

{{/* "yes" if the values want this object. */}}
{{- define "leadline.isWanted" -}}
{{- $values := .root.Values -}}
{{- $kind := .document.kind -}}
{{- $name := .document.metadata.name -}}
{{- $wanted := true -}}
{{- if eq $kind "Namespace" -}}{{- $wanted = false -}}
{{- else if eq $kind "PodDisruptionBudget" -}}{{- $wanted = $values.podDisruptionBudgets.enabled -}}
{{- else if eq $kind "NetworkPolicy" -}}{{- $wanted = $values.networkPolicies.enabled -}}
{{- else if eq $kind "ScaledObject" -}}{{- $wanted = $values.workerAutoscaling.enabled -}}
{{- else if eq $kind "ReferenceGrant" -}}{{- $wanted = or $values.route.enabled $values.operatorsRoute.enabled -}}
{{- else if eq $name "leadline-operators" -}}{{- $wanted = $values.operatorsRoute.enabled -}}
{{- else if eq $kind "HTTPRoute" -}}{{- $wanted = $values.route.enabled -}}
{{- end -}}
{{- if $wanted -}}yes{{- end -}}
{{- end }}

{{- define "leadline.change" -}}
{{- $document := .document -}}
{{- $metadata := $document.metadata -}}
{{- $_ := set $metadata "namespace" (default .root.Release.Namespace $metadata.namespace) -}}
{{- $_ := set $metadata "labels" (merge (include "leadline.labels" .root | fromYaml) (default dict $metadata.labels)) -}}
{{- $changes := dict "apps/v1" "process" "batch/v1" "migration" "policy/v1" "budget" "networking.k8s.io/v1" "policy"
      "keda.sh/v1alpha1" "scaling" "gateway.networking.k8s.io/v1" "route" "serving.knative.dev/v1" "function" -}}
{{- with get $changes $document.apiVersion -}}{{- include (printf "leadline.%s" .) $ -}}{{- end -}}
{{- end }}

{{/* Takes root, pod, name, and isSpread: whether it gets topologySpreadConstraints. */}}
{{- define "leadline.pod" -}}
{{- $values := .root.Values -}}
{{- $pod := .pod -}}
{{- $name := .name -}}
{{- with $values.images.pullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- with $values.images.pullPolicy -}}{{- $_ := set (first $pod.containers) "imagePullPolicy" . -}}{{- end -}}
{{- range (first $pod.containers).envFrom -}}
{{- $_ := set .configMapRef "name" (include "leadline.configMap" $.root) -}}
{{- end -}}
{{- $secrets := include "leadline.secrets" .root | fromJson -}}
{{- range $volume := $pod.volumes -}}
{{- range $source := dig "projected" "sources" list $volume -}}
{{- with $source.secret -}}
{{- $path := .name -}}
{{- with get $secrets $path -}}
{{- $_ := set $source "secret" (dict "name" .name "items" (list (dict "key" .key "path" $path))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .isSpread $values.topologySpreadConstraints -}}
{{- $selector := dict "matchLabels" (dict "app.kubernetes.io/name" $name) -}}
{{- $constraints := list -}}
{{- range $values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (deepCopy .) (dict "labelSelector" $selector)) -}}
{{- end -}}
{{- $_ := set $pod "topologySpreadConstraints" $constraints -}}
{{- end -}}
{{- end }}

{{/* A Deployment or Job of deploy/base. */}}
{{- define "leadline.process" -}}
{{- $spec := .document.spec -}}
{{- $name := get .document.metadata.labels "app.kubernetes.io/name" -}}
{{- $_ := set $spec.template.metadata.labels "app.kubernetes.io/part-of" "leadline" -}}
{{- include "leadline.pod" (dict "root" .root "pod" $spec.template.spec "name" $name "isSpread" true) -}}
{{- with get .root.Values.processes $name -}}
{{- if hasKey . "replicas" -}}{{- $_ := set $spec "replicas" (int .replicas) -}}{{- end -}}
{{- with .resources -}}{{- $_ := set (first $spec.template.spec.containers) "resources" . -}}{{- end -}}
{{- end -}}
{{- if and (eq $name "worker") .root.Values.workerAutoscaling.enabled (hasKey $spec "replicas") -}}
{{- fail "processes.worker.replicas: KEDA sets the number of workers, unless workerAutoscaling.enabled is false" -}}
{{- end -}}
{{- end }}

{{/*
The migration: a hook, which Argo CD runs as PreSync. Hooks precede everything else, so the settings are in the Job itself.
The Job stays for its log, and is replaced by the next one.
*/}}
{{- define "leadline.migration" -}}
{{- if hasKey (get .root.Values.processes "migrate" | default dict) "replicas" -}}
{{- fail "processes.migrate.replicas: a migration has none" -}}
{{- end -}}
{{- include "leadline.process" . -}}
{{- $hook := dict "helm.sh/hook" "pre-install,pre-upgrade" "helm.sh/hook-delete-policy" "before-hook-creation" -}}
{{- $_ := set .document.metadata "annotations" $hook -}}
{{- $container := first .document.spec.template.spec.containers -}}
{{- $_ := unset $container "envFrom" -}}
{{- range $name, $value := include "leadline.settings" .root | fromJson -}}
{{- $_ := set $container "env" (append $container.env (dict "name" $name "value" $value)) -}}
{{- end -}}
{{- end }}

{{/* A Knative Service. */}}
{{- define "leadline.function" -}}
{{- $template := .document.spec.template -}}
{{- $name := .document.metadata.name -}}
{{- $isSpread := .root.Values.knative.topologySpread -}}
{{- include "leadline.pod" (dict "root" .root "pod" $template.spec "name" $name "isSpread" $isSpread) -}}
{{- with get .root.Values.functions $name -}}
{{- $annotations := $template.metadata.annotations -}}
{{- if hasKey . "minScale" -}}{{- $_ := set $annotations "autoscaling.knative.dev/min-scale" (toString .minScale) -}}{{- end -}}
{{- if hasKey . "maxScale" -}}{{- $_ := set $annotations "autoscaling.knative.dev/max-scale" (toString .maxScale) -}}{{- end -}}
{{- with .resources -}}{{- $_ := set (first $template.spec.containers) "resources" . -}}{{- end -}}
{{- $least := get $annotations "autoscaling.knative.dev/min-scale" -}}
{{- $most := get $annotations "autoscaling.knative.dev/max-scale" -}}
{{- include "leadline.checkScale" (dict "name" $name "least" $least "most" $most) -}}
{{- end -}}
{{- end }}

{{/* Knative refuses such a Service; OpenFaaS can't fulfil it. */}}
{{- define "leadline.checkScale" -}}
{{- if gt (int .least) (int .most) -}}
{{- fail (printf "functions.%s: minScale %s exceeds maxScale %s" .name .least .most) -}}
{{- end -}}
{{- end }}

{{- define "leadline.budget" -}}
{{- with .root.Values.podDisruptionBudgets.maxUnavailable -}}
{{- $_ := set $.document.spec "maxUnavailable" (kindIs "string" . | ternary . (int .)) -}}
{{- end -}}
{{- end }}

{{/* An egress policy names its destination in the label leadline/egress-to. */}}
{{- define "leadline.policy" -}}
{{- $destination := get .document.metadata.labels "leadline/egress-to" -}}
{{- $spec := .document.spec -}}
{{- with get .root.Values.networkPolicies.egress $destination -}}
{{- $rule := first $spec.egress -}}
{{- with .to -}}{{- $_ := set $rule "to" . -}}{{- end -}}
{{- with $wanted := .ports -}}
{{- $ports := list -}}
{{- range $protocol := eq $destination "dns" | ternary (list "UDP" "TCP") (list "TCP") -}}
{{- range $port := $wanted -}}
{{- $ports = append $ports (dict "protocol" $protocol "port" (int $port)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $rule "ports" $ports -}}
{{- end -}}
{{- end -}}
{{- if and (eq $destination "bitrix24") .root.Values.emulator.enabled -}}
{{- $pods := dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "emulator")) -}}
{{- $ports := list (dict "protocol" "TCP" "port" 3024) -}}
{{- $_ := set $spec "egress" (list (dict "to" (list $pods) "ports" $ports)) -}}
{{- end -}}
{{- end }}

{{- define "leadline.scaling" -}}
{{- $spec := .document.spec -}}
{{- with .root.Values.workerAutoscaling.minReplicas -}}{{- $_ := set $spec "minReplicaCount" (int .) -}}{{- end -}}
{{- with .root.Values.workerAutoscaling.maxReplicas -}}{{- $_ := set $spec "maxReplicaCount" (int .) -}}{{- end -}}
{{- /* KEDA refuses such a ScaledObject, but only after the migration. */ -}}
{{- if gt (int $spec.minReplicaCount) (int $spec.maxReplicaCount) -}}
{{- fail (printf "workerAutoscaling: minReplicas %v exceeds maxReplicas %v" $spec.minReplicaCount $spec.maxReplicaCount) -}}
{{- end -}}
{{- end }}

{{- define "leadline.route" -}}
{{- $key := eq .document.metadata.name "leadline" | ternary "route" "operatorsRoute" -}}
{{- $values := get .root.Values $key -}}
{{- $_ := set .document.spec "parentRefs" $values.parentRefs -}}
{{- $_ := set .document.spec "hostnames" $values.hostnames -}}
{{- end }}

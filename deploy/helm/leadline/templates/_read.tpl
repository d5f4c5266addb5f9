{{/*
What the files say, with this release's names: read once, here, by every template.
*/}}

{{/* The namespace that the manifests of this home name. */}}
{{- define "leadline.namespace" -}}
{{ ternary "leadline" "openfaas-fn" (eq .Values.home "knative") }}
{{- end }}

{{/* An image by its name. */}}
{{- define "leadline.image" -}}
{{ .root.Values.images.repository }}/{{ .name }}:{{ default .root.Chart.AppVersion .root.Values.images.tag }}
{{- end }}

{{/* A file with our images, our namespace, and the namespace of Prometheus. Takes root and path. */}}
{{- define "leadline.text" -}}
{{- $root := .root -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $written := include "leadline.namespace" $root -}}
{{- $text := $root.Files.Get .path | required (printf "%s is not in the chart" .path) -}}
{{- $image := include "leadline.image" (dict "root" $root "name" "${1}") -}}
{{- $text = regexReplaceAll "ghcr\\.io/leadline/([a-z-]+):[\\w.-]+" $text $image -}}
{{- $text = replace ".NAMESPACE.svc" (printf ".%s.svc" $namespace) $text -}}
{{- $text = replace (printf ".%s.svc" $written) (printf ".%s.svc" $namespace) $text -}}
{{- $text = regexReplaceAll (printf "(?m)(\\bnamespace: )%s$" $written) $text (printf "${1}%s" $namespace) -}}
{{- $text = replace "metadata.name: monitoring\n" (printf "metadata.name: %s\n" $root.Values.monitoring.namespace) $text -}}
{{- replace "[keda, monitoring]" (printf "[keda, %s]" $root.Values.monitoring.namespace) $text -}}
{{- end }}

{{/* All settings as JSON: of every home, of this one, of the values. */}}
{{- define "leadline.settings" -}}
{{- $lines := regexFindAll "(?m)^[A-Z][A-Z0-9_]*=.*$" (.Files.Get "files/base/settings.env") -1 -}}
{{- $path := printf "files/%s/kustomization.yaml" .Values.home -}}
{{- $kustomization := include "leadline.text" (dict "root" . "path" $path) | fromYaml -}}
{{- $settings := dict -}}
{{- range concat $lines (index $kustomization.configMapGenerator 0).literals -}}
{{- $pair := regexSplit "=" . 2 -}}
{{- $_ := set $settings (first $pair) (last $pair) -}}
{{- end -}}
{{- if .Values.mapping -}}{{- $_ := set $settings "LEADLINE_MAPPING" "/var/openfaas/secrets/leadline.toml" -}}{{- end -}}
{{- $settings = mergeOverwrite $settings .Values.settings -}}
{{- if .Values.emulator.enabled -}}
{{- $_ := set $settings "LEADLINE_CLEARTEXT" (printf "%s,bitrix24" $settings.LEADLINE_CLEARTEXT | trimPrefix ",") -}}
{{- end -}}
{{- toJson $settings -}}
{{- end }}

{{/* The ConfigMap's name contains the hash of its content: a changed setting restarts its readers, as kustomize does it. */}}
{{- define "leadline.configMap" -}}
leadline-settings-{{ include "leadline.settings" . | sha256sum | trunc 10 }}
{{- end }}

{{/* Where a secret is, as JSON: {name, key} by the name that our processes know it by. */}}
{{- define "leadline.secrets" -}}
{{- $secrets := deepCopy .Values.existingSecrets -}}
{{- if .Values.emulator.enabled -}}
{{- $_ := set $secrets "bitrix-webhook-url" (dict "name" "leadline-emulator" "key" "bitrix-webhook-url") -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end }}

{{/* Labels of every object. */}}
{{- define "leadline.labels" -}}
app.kubernetes.io/part-of: leadline
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The paths of the manifests, as a JSON list. */}}
{{- define "leadline.paths" -}}
{{- $folders := list "base" .Values.home (printf "%s-operators" .Values.home) -}}
{{- $paths := list -}}
{{- range $folder := $folders -}}
{{- range $path, $_ := $.Files.Glob (printf "files/%s/*.yaml" $folder) -}}
{{- if not (has (base $path) (list "kustomization.yaml" "namespace.yaml" "knative-names.yaml")) -}}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $paths -}}
{{- end }}

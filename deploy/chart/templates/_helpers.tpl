{{/* Labels of an object. Arguments: root, component. */}}
{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/name: integration-service
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Labels by which a component's pods are selected. Prometheus's job is the component. */}}
{{- define "selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The entries of `processors` that are not null, each completed by `processor`, as JSON. */}}
{{- define "processors" -}}
{{- $all := dict }}
{{- range $name, $own := .Values.processors }}
{{- if kindIs "map" $own }}
{{- if not (hasPrefix "processor" $name) }}
{{- fail (printf "processors.%s: the name must begin with processor, as the alerts expect of Prometheus's jobs" $name) }}
{{- end }}
{{- $_ := set $all $name (mustMergeOverwrite (deepCopy $.Values.processor) $own) }}
{{- end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/* A program's settings, as JSON: name -> text. Arguments: root, settings (the program's own). */}}
{{- define "settings" -}}
{{- $secrets := list "SECRET_KEY" "POSTGRES_PASSWORD" "DADATA_API_KEY" "DADATA_SECRET_KEY" "YANDEXGPT_API_KEY" "KAFKA_SASL_PASSWORD" "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET" }}
{{- $all := dict }}
{{- range $name, $value := mustMergeOverwrite (deepCopy .root.Values.settings) .settings }}
{{- if has $name $secrets }}
{{- fail (printf "%s is a secret: put it into the Secret, and its name into secret.keys" $name) }}
{{- end }}
{{- if kindIs "float64" $value }}
{{- $value = ternary (int64 $value) $value (eq $value (floor $value)) }}{{/* else 1000000 would be 1e+06 */}}
{{- end }}
{{- $_ := set $all $name (toString $value) }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/* What every pod has in common. Argument: root. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false # else a Service named `postgres` would set POSTGRES_PORT to tcp://...
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.podSpec }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The pod's user. Argument: its number. */}}
{{- define "podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on different nodes, as far as there are any. Arguments: root, component. */}}
{{- define "spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "selector" . | nindent 8 }}
{{- end }}

{{/* Of two replicas or more, one at a time may be taken away; any that is not ready. Arguments: root, component. */}}
{{- define "disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels:
    {{- include "labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "selector" . | nindent 6 }}
{{- end }}

{{/* NetworkPolicy's egress to the cluster's DNS. */}}
{{- define "dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{/* NetworkPolicy's egress to `to` and `ports`. */}}
{{- define "egress" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to: {{ toJson . }}
  {{- end }}
{{- end }}

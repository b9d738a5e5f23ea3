{{/*
A program: its ConfigMap, its Deployment and its PodDisruptionBudget.
Arguments: root, component, values (its own), settings (all of them), image, port, graceSeconds, preStopSeconds.
*/}}
{{- define "program" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels:
    {{- include "labels" . | nindent 4 }}
data:
  {{- toYaml .settings | nindent 2 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels:
    {{- include "labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  # A new pod is ready before an old one stops: no partition waits for a pod's start. See docs/kubernetes.md.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  minReadySeconds: 10 # longer than a rebalance takes, so that a partition does not move twice in a row
  selector:
    matchLabels:
      {{- include "selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "selector" . | nindent 8 }}
      annotations:
        settings: {{ toJson .settings | sha256sum }} # a changed setting is a new pod
    spec:
      {{- include "pod" .root | nindent 6 }}
      {{- include "spread" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ .graceSeconds }}
      securityContext:
        {{- include "podSecurity" 10001 | nindent 8 }}
      containers:
        - name: program
          image: {{ .image }}
          imagePullPolicy: {{ .root.Values.imagePullPolicy }}
          envFrom:
            - configMapRef: {name: {{ .root.Release.Name }}-{{ .component }}}
          {{- with .values.secret.keys }}
          env:
            {{- range . }}
            - {name: {{ . }}_FILE, value: /run/secrets/{{ . }}}
            {{- end }}
          {{- end }}
          ports:
            - {name: http, containerPort: {{ .port }}}
          startupProbe:
            httpGet: {path: /health/live, port: http}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 60
          livenessProbe: # fails only if a restart helps
            httpGet: {path: /health/live, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /health/ready, port: http}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 3
          {{- with .preStopSeconds }}
          lifecycle:
            preStop: # requests keep coming until every node has heard that the pod stops
              sleep: {seconds: {{ . }}}
          {{- end }}
          securityContext:
            {{- include "containerSecurity" . | nindent 12 }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .values.secret.name }}
            - {name: secrets, mountPath: /run/secrets, readOnly: true}
            {{- end }}
            {{- if .root.Values.ca.configMap }}
            - {name: ca, mountPath: /run/ca, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {medium: Memory, sizeLimit: 16Mi}
        {{- with .values.secret.name }}
        - name: secrets
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
        {{- with .root.Values.ca.configMap }}
        - name: ca
          configMap: {name: {{ . }}}
        {{- end }}
---
{{ include "disruptionBudget" . }}
{{- end }}

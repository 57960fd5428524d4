{{/*
What Helm runs before an install, upgrade or uninstall: a Job with the
controller's image, and its rights. All are deleted when it has succeeded; a Job
that failed stays for an hour, so that its log can be read.

Arguments:
  root
  name    akri-helm-<name>-hook; the Job is <release>-<name>
  events  as Helm names them
  args    arguments of akri-controller, a list
  rules   rules of its ClusterRole, a list
  deadlineSeconds  after which the Job fails
*/}}
{{- define "akri.hook" -}}
{{- $c := .root.Values.controller -}}
{{- $name := printf "akri-helm-%s-hook" .name -}}
{{- range list "ServiceAccount" "ClusterRole" "ClusterRoleBinding" }}
---
{{- if eq . "ServiceAccount" }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}-sa
  namespace: {{ $.root.Release.Namespace }}
{{- else }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ . }}
metadata:
  name: {{ $name }}-{{ eq . "ClusterRole" | ternary "role" "binding" }}
{{- end }}
  labels:
    {{- include "akri.labels" $.root | nindent 4 }}
    app.kubernetes.io/name: {{ $name }}
    app.kubernetes.io/component: hook
  annotations:
    helm.sh/hook: {{ $.events }}
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- if eq . "ClusterRole" }}
rules:
  {{- toYaml $.rules | nindent 2 }}
{{- else if eq . "ClusterRoleBinding" }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}-role
subjects:
  - kind: ServiceAccount
    name: {{ $name }}-sa
    namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ printf "%s-%s" .root.Release.Name .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "akri.labels" .root | nindent 4 }}
    app.kubernetes.io/name: {{ $name }}
    app.kubernetes.io/component: hook
  annotations:
    helm.sh/hook: {{ .events }}
    helm.sh/hook-weight: "-5"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-failed
spec:
  activeDeadlineSeconds: {{ .deadlineSeconds }}
  backoffLimit: 3
  ttlSecondsAfterFinished: 3600
  template:
    metadata:
      labels:
        {{- include "akri.labels" .root | nindent 8 }}
        app.kubernetes.io/name: {{ $name }}
        app.kubernetes.io/component: hook
    spec:
      restartPolicy: Never
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      serviceAccountName: {{ $name }}-sa
      enableServiceLinks: false
      {{- with $c.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- include "akri.placement" (dict "nodeSelectors" $c.nodeSelectors "tolerations" (include "akri.controllerTolerations" .root | fromYamlArray)) | nindent 6 }}
      affinity:
        {{- include "akri.controllerAffinity" .root | nindent 8 }}
      securityContext:
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .name }}
          image: {{ include "akri.image" (dict "root" .root "image" $c.image "name" "controller") | quote }}
          {{- with $c.image.pullPolicy }}
          imagePullPolicy: {{ . }}
          {{- end }}
          args:
            {{- toYaml .args | nindent 12 }}
          env:
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
          resources:
            {{- include "akri.resources" (dict "values" $c.resources) | nindent 12 }}
          securityContext:
            {{- toYaml $c.securityContext | nindent 12 }}
{{- end }}

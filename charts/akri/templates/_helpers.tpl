{{/*
Labels of every object. Argument: the root context.
*/}}
{{- define "akri.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "akri.selectorLabels" . }}
{{- with .Chart.AppVersion }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "akri.selectorLabels" -}}
app.kubernetes.io/part-of: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
A value as a string: values files and --set turn what looks like a number into
one, and a large number must not become 1e+06.
*/}}
{{- define "akri.string" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ . | int64 }}{{ else }}{{ . | toString }}{{ end -}}
{{- else if not (kindIs "invalid" .) -}}
{{- . | toString -}}
{{- end -}}
{{- end }}

{{/*
An image of this project: its own repository and tag if given.
Arguments: root, image (values), name (of the image under imagePrefix).
*/}}
{{- define "akri.image" -}}
{{- $v := .root.Values -}}
{{- $tag := include "akri.string" .image.tag -}}
{{- if not $tag -}}
{{- $tag = ternary "latest" (printf "v%s" .root.Chart.AppVersion) $v.useLatestContainers -}}
{{- if $v.useDevelopmentContainers }}{{ $tag = printf "%s-dev" $tag }}{{ end -}}
{{- if $v.useDebugContainers }}{{ $tag = printf "%s-debug" $tag }}{{ end -}}
{{- end -}}
{{- printf "%s:%s" (.image.repository | default (printf "%s/%s" $v.imagePrefix .name)) $tag -}}
{{- end }}

{{/*
The four resource keys as a ResourceRequirements; empty values are left out.
Arguments: values (the four keys), extra (a resource to ask one unit of; may be empty).
*/}}
{{- define "akri.resources" -}}
{{- $r := .values | default dict -}}
{{- $requests := dict -}}
{{- $limits := dict -}}
{{- with .extra }}{{ $_ := set $requests . "1" }}{{ $_ = set $limits . "1" }}{{ end -}}
{{- with $r.memoryRequest }}{{ $_ := set $requests "memory" . }}{{ end -}}
{{- with $r.cpuRequest }}{{ $_ := set $requests "cpu" . }}{{ end -}}
{{- with $r.memoryLimit }}{{ $_ := set $limits "memory" . }}{{ end -}}
{{- with $r.cpuLimit }}{{ $_ := set $limits "cpu" . }}{{ end -}}
{{- $out := dict -}}
{{- with $requests }}{{ $_ := set $out "requests" . }}{{ end -}}
{{- with $limits }}{{ $_ := set $out "limits" . }}{{ end -}}
{{- toYaml $out -}}
{{- end }}

{{/*
Where Pods of this chart run. Arguments: nodeSelectors, tolerations.
*/}}
{{- define "akri.placement" -}}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .nodeSelectors }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
What the controller and the hooks tolerate, a list. Argument: the root context.
*/}}
{{- define "akri.controllerTolerations" -}}
{{- $c := .Values.controller -}}
{{- $tolerations := $c.tolerations | default list -}}
{{- if or $c.allowOnControlPlane $c.onlyOnControlPlane -}}
{{- range list "node-role.kubernetes.io/control-plane" "node-role.kubernetes.io/master" -}}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- end -}}
{{- toYaml $tolerations -}}
{{- end }}

{{/*
The same for the controller itself, which has 30 s to leave a lost node instead
of Kubernetes' 5 minutes: after a drain all its replicas may be on that node. A
toleration of the user's for the same taint goes first.
*/}}
{{- define "akri.controllerPodTolerations" -}}
{{- $tolerations := include "akri.controllerTolerations" . | fromYamlArray -}}
{{- $theirs := list -}}
{{- range $tolerations -}}
{{- if eq (.effect | default "NoExecute") "NoExecute" -}}
{{- $theirs = append $theirs (.key | default "*") -}}
{{- end -}}
{{- end -}}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" -}}
{{- if not (or (has . $theirs) (has "*" $theirs)) -}}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" 30) -}}
{{- end -}}
{{- end -}}
{{- toYaml $tolerations -}}
{{- end }}

{{/*
Nodes that the controller and the hooks may run on. Never edge nodes: they must
reach the API server at any time, and the API server the controller's webhook.
Argument: the root context.
*/}}
{{- define "akri.controllerAffinity" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- range ternary (list "node-role.kubernetes.io/control-plane" "node-role.kubernetes.io/master") (list "") .Values.controller.onlyOnControlPlane }}
      - matchExpressions:
          - key: node-role.kubernetes.io/edge
            operator: DoesNotExist
          {{- if . }}
          - key: {{ . }}
            operator: Exists
          {{- end }}
      {{- end }}
{{- end }}

{{/*
Environment variables: a map of names to values, or a list of EnvVars.
*/}}
{{- define "akri.env" -}}
{{- if kindIs "map" . -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "akri.string" $value | quote }}
{{- end }}
{{- else -}}
{{- toYaml . }}
{{- end -}}
{{- end }}

{{/*
envFrom: {secretRef: [names], configMapRef: [names]}, or a list of EnvFromSources.
*/}}
{{- define "akri.envFrom" -}}
{{- if kindIs "map" . -}}
{{- range .secretRef }}
- secretRef:
    name: {{ . | quote }}
{{- end }}
{{- range .configMapRef }}
- configMapRef:
    name: {{ . | quote }}
{{- end }}
{{- else -}}
{{- toYaml . }}
{{- end -}}
{{- end }}

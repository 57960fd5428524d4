{{/*
Labels of every object. Argument: the root context.
*/}}
{{- define "cloudcore.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "cloudcore.selectorLabels" . }}
{{- with .Chart.AppVersion }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "cloudcore.selectorLabels" -}}
app.kubernetes.io/name: cloudcore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
The four resource keys as a ResourceRequirements; empty values are left out.
*/}}
{{- define "cloudcore.resources" -}}
{{- $requests := dict -}}
{{- $limits := dict -}}
{{- with .memoryRequest }}{{ $_ := set $requests "memory" . }}{{ end -}}
{{- with .cpuRequest }}{{ $_ := set $requests "cpu" . }}{{ end -}}
{{- with .memoryLimit }}{{ $_ := set $limits "memory" . }}{{ end -}}
{{- with .cpuLimit }}{{ $_ := set $limits "cpu" . }}{{ end -}}
{{- $out := dict -}}
{{- with $requests }}{{ $_ := set $out "requests" . }}{{ end -}}
{{- with $limits }}{{ $_ := set $out "limits" . }}{{ end -}}
{{- toYaml $out -}}
{{- end }}

{{/*
The configuration file. Numbers of values are floats, which must not become
2e+04.
*/}}
{{- define "cloudcore.config" -}}
{{- $c := deepCopy .Values.config -}}
{{- range $section := list "hub" "controller" -}}
{{- $keys := get $c $section -}}
{{- range $key, $value := $keys -}}
{{- if kindIs "float64" $value }}{{ $_ := set $keys $key (int64 $value) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $c -}}
{{- end }}

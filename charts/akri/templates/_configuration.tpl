{{/*
A Configuration. It has no namespace, as in upstream's chart, so that the output
of "helm template" can be applied to any.

Arguments:
  root, configuration (values)
  handler  discoveryHandler.name
  details  discoveryDetails, a string
  volumes, volumeMounts   lists added to the broker's own
*/}}
{{- define "akri.configuration" -}}
{{- $c := .configuration -}}
{{- $pod := $c.brokerPod.image.repository -}}
{{- $job := $c.brokerJob.image.repository -}}
apiVersion: {{ printf "%s/%s" .root.Values.crds.group .root.Values.crds.version }}
kind: Configuration
metadata:
  name: {{ $c.name }}
spec:
  discoveryHandler:
    name: {{ .handler | quote }}
    {{- with .details | trim }}
    discoveryDetails: |+
      {{- . | nindent 6 }}
    {{- end }}
    {{- with $c.discoveryProperties }}
    discoveryProperties:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $c.offlineGracePeriod }}
    offlineGracePeriod: {{ . | quote }}
    {{- end }}
  {{- if $pod }}
  brokerSpec:
    brokerPodSpec:
      {{- include "akri.brokerPodSpec" (dict "root" .root "configuration" $c "broker" $c.brokerPod "volumes" .volumes "volumeMounts" .volumeMounts) | nindent 6 }}
  {{- else if $job }}
  brokerSpec:
    brokerJobSpec:
      backoffLimit: {{ $c.brokerJob.backoffLimit }}
      parallelism: {{ $c.brokerJob.parallelism }}
      completions: {{ $c.brokerJob.completions }}
      template:
        spec:
          restartPolicy: {{ $c.brokerJob.restartPolicy }}
          {{- include "akri.brokerPodSpec" (dict "root" .root "configuration" $c "broker" $c.brokerJob "volumes" .volumes "volumeMounts" .volumeMounts) | nindent 10 }}
  {{- end }}
  {{- if and $pod $c.createInstanceServices }}
  instanceServiceSpec:
    {{- include "akri.serviceSpec" $c.instanceService | nindent 4 }}
  {{- end }}
  {{- if and $pod $c.createConfigurationService }}
  configurationServiceSpec:
    {{- include "akri.serviceSpec" $c.configurationService | nindent 4 }}
  {{- end }}
  {{- with $c.brokerProperties }}
  brokerProperties:
    {{- range $name, $value := . }}
    {{ $name | quote }}: {{ include "akri.string" $value | quote }}
    {{- end }}
  {{- end }}
  capacity: {{ $c.capacity }}
{{- end }}

{{- define "akri.brokerPodSpec" -}}
{{- $b := .broker -}}
containers:
  - name: {{ .configuration.name }}-broker
    image: {{ printf "%s:%s" $b.image.repository (include "akri.string" $b.image.tag | default "latest") | quote }}
    {{- with $b.image.pullPolicy }}
    imagePullPolicy: {{ . }}
    {{- end }}
    {{- with $b.command }}
    command:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $b.args }}
    args:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $b.env }}
    env:
      {{- include "akri.env" . | trim | nindent 6 }}
    {{- end }}
    {{- with $b.envFrom }}
    envFrom:
      {{- include "akri.envFrom" . | trim | nindent 6 }}
    {{- end }}
    resources:
      {{- include "akri.resources" (dict "values" $b.resources "extra" "{{PLACEHOLDER}}") | nindent 6 }}
    {{- with $b.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with concat ($b.volumeMounts | default list) (.volumeMounts | default list) }}
    volumeMounts:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- with concat ($b.volumes | default list) (.volumes | default list) }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "akri.serviceSpec" -}}
type: {{ .type }}
ports:
  - port: {{ .port }}
    targetPort: {{ .targetPort }}
    protocol: {{ .protocol }}
    {{- with .portName }}
    name: {{ . }}
    {{- end }}
{{- end }}

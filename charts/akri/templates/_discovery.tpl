{{/*
Our own handlers: each has a key in the values and a template of this name. A test
compares this with internal/handlers.
*/}}
{{- define "akri.handlers" -}}udev debugEcho onvif opcua modbus mqtt mdns{{- end }}

{{/*
The DaemonSet of a discovery handler.

Arguments:
  root, discovery (values)
  name     of the Pods' label and container; the DaemonSet is <name>-daemonset
  image    the full reference
  handlers akri-discovery's arguments; none for other programs
  env, volumes, volumeMounts   lists added to the chart's own
  podSecurityContext, securityContext   the defaults, under discovery.securityContext
*/}}
{{- define "akri.discoveryDaemonSet" -}}
{{- $d := .discovery -}}
{{- $metricsPort := $d.metricsPort | default .root.Values.prometheus.discoveryPort -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ .name }}-daemonset
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "akri.labels" .root | nindent 4 }}
    app.kubernetes.io/name: {{ .name }}
    app.kubernetes.io/component: discovery-handler
spec:
  selector:
    matchLabels:
      {{- include "akri.selectorLabels" .root | nindent 6 }}
      app.kubernetes.io/name: {{ .name }}
  template:
    metadata:
      labels:
        {{- include "akri.labels" .root | nindent 8 }}
        app.kubernetes.io/name: {{ .name }}
        app.kubernetes.io/component: discovery-handler
    spec:
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- if $d.hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      {{- with $d.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- include "akri.placement" (dict "nodeSelectors" $d.nodeSelectors "tolerations" $d.tolerations) | nindent 6 }}
      securityContext:
        {{- toYaml .podSecurityContext | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ .image | quote }}
          {{- with $d.image.pullPolicy }}
          imagePullPolicy: {{ . }}
          {{- end }}
          {{- with .handlers }}
          args: [{{ join ", " . }}]
          {{- end }}
          {{- with $d.args }}
          args:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            - name: AGENT_NODE_NAME
              valueFrom:
                fieldRef:
                  fieldPath: spec.nodeName
            - name: DISCOVERY_HANDLERS_DIRECTORY
              value: /var/lib/akri
            {{- if .handlers }}
            - name: METRICS_PORT
              value: {{ $metricsPort | toString | quote }}
            {{- end }}
            {{- if $d.useNetworkConnection }}
            - name: POD_IP
              valueFrom:
                fieldRef:
                  fieldPath: status.podIP
            {{- end }}
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with $d.env }}
            {{- include "akri.env" . | trim | nindent 12 }}
            {{- end }}
          {{- if or .handlers $d.useNetworkConnection }}
          ports:
            {{- if $d.useNetworkConnection }}
            - name: discovery
              containerPort: {{ $d.port }}
            {{- end }}
            {{- if .handlers }}
            - name: {{ .root.Values.prometheus.portName }}
              containerPort: {{ $metricsPort }}
            {{- end }}
          {{- end }}
          {{- if .handlers }}
          livenessProbe:
            httpGet:
              path: /healthz
              port: {{ .root.Values.prometheus.portName }}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 3
          # Ready is a handler that an agent has accepted.
          readinessProbe:
            httpGet:
              path: /readyz
              port: {{ .root.Values.prometheus.portName }}
            periodSeconds: 10
            timeoutSeconds: 5
          startupProbe:
            httpGet:
              path: /healthz
              port: {{ .root.Values.prometheus.portName }}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 60
          {{- end }}
          resources:
            {{- include "akri.resources" (dict "values" $d.resources) | nindent 12 }}
          securityContext:
            {{- toYaml (mergeOverwrite (deepCopy .securityContext) (deepCopy ($d.securityContext | default dict))) | nindent 12 }}
          volumeMounts:
            - name: discovery-handlers
              mountPath: /var/lib/akri
            {{- with .volumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: discovery-handlers
          hostPath:
            path: {{ .root.Values.agent.host.discoveryHandlers }}
            type: DirectoryOrCreate
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{/*
What a handler's Pod needs besides the sockets: env, volumes and volumeMounts. Most
need nothing. Names of variables and volumes are the handler's own.
Arguments: root, handler.
*/}}
{{- define "akri.needs" -}}
{{- if eq .handler "udev" }}{{ include "akri.udevNeeds" .root }}
{{- else if eq .handler "debugEcho" }}{{ include "akri.debugEchoNeeds" .root }}
{{- else }}{}
{{- end }}
{{- end }}

{{/*
What a handler may do on the node, and where and as what it runs, as text: handlers
that have the same can share a process. With discovery.together=all they may get what
any of them needs, which leaves out the node's network and folders.
Arguments: root, handler.
*/}}
{{- define "akri.rights" -}}
{{- $d := (get .root.Values .handler).discovery -}}
{{- $together := .root.Values.discovery.together | toString -}}
{{- $rights := dict "image" $d.image "securityContext" ($d.securityContext | default dict) "priorityClassName" ($d.priorityClassName | default "")
    "nodeSelectors" ($d.nodeSelectors | default dict) "tolerations" ($d.tolerations | default list) -}}
{{- if or (eq $together "false") $d.useNetworkConnection }}{{ $_ := set $rights "alone" .handler }}{{ end -}}
{{- if ne $together "all" -}}
{{- $folders := list -}}
{{- range (include "akri.needs" . | fromYaml).volumes }}{{ with .hostPath }}{{ $folders = append $folders .path }}{{ end }}{{ end -}}
{{- $_ := set $rights "hostNetwork" ($d.hostNetwork | default false) -}}
{{- $_ = set $rights "folders" $folders -}}
{{- end -}}
{{- $rights | toJson -}}
{{- end }}

{{/*
The DaemonSet of one of our own handlers: not root, no capabilities, and it can
write only its socket and the given volumes. With discovery.together the first of
those that share a process has it for all, and the others have none.
Arguments: root, discovery (values), handler, name.
*/}}
{{- define "akri.builtinDiscovery" -}}
{{- $root := .root -}}
{{- $rights := include "akri.rights" . -}}
{{- $handlers := list -}}
{{- range splitList " " (include "akri.handlers" $root) -}}
{{- if and (get $root.Values .).discovery.enabled (eq $rights (include "akri.rights" (dict "root" $root "handler" .))) -}}
{{- $handlers = append $handlers . -}}
{{- end -}}
{{- end -}}
{{- if eq .handler (first $handlers) -}}
{{- $name := .name -}}
{{- $d := deepCopy .discovery -}}
{{- $env := list -}}{{- $volumes := list -}}{{- $mounts := list -}}
{{- range $handlers -}}
{{- $needs := include "akri.needs" (dict "root" $root "handler" .) | fromYaml -}}
{{- $env = concat $env ($needs.env | default list) -}}
{{- $volumes = concat $volumes ($needs.volumes | default list) -}}
{{- $mounts = concat $mounts ($needs.volumeMounts | default list) -}}
{{- if (get $root.Values .).discovery.hostNetwork }}{{ $_ := set $d "hostNetwork" true }}{{ end -}}
{{- end -}}
{{- if rest $handlers -}}
{{- $_ := set $d "resources" $root.Values.discovery.resources -}}
{{- $names := list }}{{ range $handlers }}{{ $names = append $names (kebabcase .) }}{{ end -}}
{{- /* A label's value has 63 characters. */}}
{{- $name = printf "akri-%s-discovery" (join "-" $names | trunc 48 | trimSuffix "-") -}}
{{- end -}}
{{- $security := dict
    "runAsUser" 65532
    "runAsGroup" ($root.Values.agent.socketGroup | int64)
    "runAsNonRoot" true
    "allowPrivilegeEscalation" false
    "readOnlyRootFilesystem" true
    "capabilities" (dict "drop" (list "ALL")) -}}
{{- include "akri.discoveryDaemonSet" (dict "root" $root "discovery" $d "handlers" $handlers "name" $name
    "image" (include "akri.image" (dict "root" $root "image" $d.image "name" "discovery"))
    "env" $env "volumes" $volumes "volumeMounts" $mounts
    "podSecurityContext" (dict "seccompProfile" (dict "type" "RuntimeDefault"))
    "securityContext" $security) -}}
{{- end -}}
{{- end }}

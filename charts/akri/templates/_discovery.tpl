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
  handler  akri-discovery's argument; empty for other programs
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
          {{- with .handler }}
          args: [{{ . }}]
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
            {{- if .handler }}
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
          {{- if or .handler $d.useNetworkConnection }}
          ports:
            {{- if $d.useNetworkConnection }}
            - name: discovery
              containerPort: {{ $d.port }}
            {{- end }}
            {{- if .handler }}
            - name: {{ .root.Values.prometheus.portName }}
              containerPort: {{ $metricsPort }}
            {{- end }}
          {{- end }}
          {{- if .handler }}
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
The DaemonSet of one of our own handlers: not root, no capabilities, and
it can write only its socket and the given volumes.
Arguments: root, discovery (values), handler, name, env, volumes, volumeMounts.
*/}}
{{- define "akri.builtinDiscovery" -}}
{{- $security := dict
    "runAsUser" 65532
    "runAsGroup" (.root.Values.agent.socketGroup | int64)
    "runAsNonRoot" true
    "allowPrivilegeEscalation" false
    "readOnlyRootFilesystem" true
    "capabilities" (dict "drop" (list "ALL")) -}}
{{- $image := include "akri.image" (dict "root" .root "image" .discovery.image "name" "discovery") -}}
{{- include "akri.discoveryDaemonSet" (merge (dict
    "image" $image
    "podSecurityContext" (dict "seccompProfile" (dict "type" "RuntimeDefault"))
    "securityContext" $security) .) -}}
{{- end }}

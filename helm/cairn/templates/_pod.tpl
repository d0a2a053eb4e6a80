{{/* What the container runs: cairnd's flags, one each. */}}
{{- define "cairn.arguments" -}}
{{- $v := .Values -}}
- --memory={{ include "cairn.bytes" (list $v.memory "memory") }}
- --index={{ include "cairn.bytes" (list $v.index "index") }}
- --huge-pages={{ $v.hugePages }}
- --prefault={{ $v.prefault }}
- --planner={{ $v.planner }}
- --eviction={{ $v.eviction }}
- --placement-memory={{ include "cairn.bytes" (list $v.placementMemory "placementMemory") }}
- --listen-unix=/run/cairn/cairn.sock
- --listen-tcp={{ $v.listen.host }}:{{ int $v.listen.port }}
- --listen-http={{ $v.listen.host }}:{{ int $v.listen.httpPort }}
- --drain-ms={{ int64 $v.drainMs }}
- --log-level={{ $v.logLevel }}
{{- if $v.ssd.size }}
- --ssd-path=/var/lib/cairn/ssd
- --ssd={{ include "cairn.bytes" (list $v.ssd.size "ssd.size") }}
- --ssd-min-free={{ include "cairn.bytes" (list $v.ssd.minFree "ssd.minFree") }}
- --ssd-codec={{ $v.ssd.codec }}
{{- end }}
{{- if $v.gpu.enabled }}
- --gpu-memory={{ include "cairn.bytes" (list $v.gpu.memory "gpu.memory") }}
{{- end }}
{{- if $v.rdma.enabled }}
- --ucx=on
{{- with $v.rdma.transports }}
- --ucx-tls={{ . }}
{{- end }}
{{- end }}
{{- if eq $v.mode "statefulset" }}
- --members={{ include "cairn.members" . }}
{{- end }}
{{- if eq $v.tls.mode "none" }}
- --allow-insecure-tcp=true
{{- else }}
- --tls-cert=/etc/cairn/tls/tls.crt
- --tls-key=/etc/cairn/tls/tls.key
- --tls-ca=/etc/cairn/tls/ca.crt
{{- with include "cairn.tlsTenants" . }}
- --tls-tenants={{ . }}
{{- end }}
{{- $admins := $v.admins -}}
{{- if include "cairn.membersAdmin" . -}}
{{- $admins = append $admins (include "cairn.daemonIdentity" .) | uniq -}}
{{- end }}
{{- with $admins }}
- --tls-admins={{ join "," . }}
{{- end }}
{{- end }}
{{- range $name, $value := $v.settings }}
- --{{ $name }}={{ include "cairn.written" $value }}
{{- end }}
{{- end -}}

{{- define "cairn.devices" -}}
{{- if .Values.gpu.enabled }}
{{ .Values.gpu.resource }}: {{ int .Values.gpu.count }}
{{- end }}
{{- if .Values.rdma.enabled }}
{{ .Values.rdma.resource }}: {{ int .Values.rdma.count }}
{{- end }}
{{- range $name, $count := .Values.resources.extra }}
{{ $name }}: {{ include "cairn.written" $count }}
{{- end }}
{{- if and .Values.ssd.size (eq .Values.ssd.volume "emptyDir") }}
ephemeral-storage: {{ include "cairn.diskNeeded" . }}
{{- end }}
{{- end -}}

{{- define "cairn.probe" -}}
exec:
  command: [cairnctl, --timeout, {{ mul 1000 (int .Values.probes.timeoutSeconds) | quote }}, status]
timeoutSeconds: {{ add 1 (int .Values.probes.timeoutSeconds) }}
{{- end -}}

{{- define "cairn.container" -}}
{{- $v := .Values -}}
- name: cairnd
  image: {{ include "cairn.image" . | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  args:
    {{- include "cairn.arguments" . | nindent 4 }}
  env:
    - name: CAIRN_CONNECT
      value: unix:/run/cairn/cairn.sock
    {{- if and (eq $v.mode "statefulset") (ne $v.tls.mode "none") }}
    # What cairnctl shows to the other daemons.
    - name: CAIRN_TLS_CA
      value: /etc/cairn/tls/ca.crt
    - name: CAIRN_TLS_CERT
      value: /etc/cairn/tls/tls.crt
    - name: CAIRN_TLS_KEY
      value: /etc/cairn/tls/tls.key
    {{- if eq $v.tls.mode "spiffe" }}
    - name: CAIRN_TLS_SERVER
      value: {{ include "cairn.daemonIdentity" . | quote }}
    {{- end }}
    {{- end }}
  ports:
    - name: engines
      containerPort: {{ int $v.listen.port }}
    - name: metrics
      containerPort: {{ int $v.listen.httpPort }}
  resources:
    requests:
      cpu: {{ $v.resources.cpu.request | quote }}
      memory: {{ include "cairn.memoryLimit" . }}
      {{- include "cairn.devices" . | trim | nindent 6 }}
    limits:
      {{- with $v.resources.cpu.limit }}
      cpu: {{ . | quote }}
      {{- end }}
      memory: {{ include "cairn.memoryLimit" . }}
      {{- include "cairn.devices" . | trim | nindent 6 }}
  # By exec: the ports ask for client certificates, which a kubelet does not have.
  startupProbe:
    {{- include "cairn.probe" . | nindent 4 }}
    periodSeconds: 5
    failureThreshold: {{ max 1 (div (int $v.probes.startupSeconds) 5) }}
  readinessProbe:
    {{- include "cairn.probe" . | nindent 4 }}
    periodSeconds: 5
    failureThreshold: 2
  # Answered from memory alone, so that a slow disk restarts nothing.
  livenessProbe:
    {{- include "cairn.probe" . | nindent 4 }}
    periodSeconds: 20
    failureThreshold: 3
  {{- /* Kubernetes before 1.33 refuses a sleep of 0. */}}
  {{- with int $v.shutdown.preStopSeconds }}
  lifecycle:
    preStop:
      sleep:
        seconds: {{ . }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      {{- if eq $v.rdma.memlock "capability" }}
      add: [IPC_LOCK]
      {{- end }}
  volumeMounts:
    - name: run
      mountPath: /run/cairn
    {{- if $v.ssd.size }}
    - name: ssd
      mountPath: /var/lib/cairn
    {{- end }}
    {{- if ne $v.tls.mode "none" }}
    - name: tls
      mountPath: /etc/cairn/tls
      readOnly: true
    {{- end }}
{{- end -}}

{{- define "cairn.volumes" -}}
{{- $v := .Values -}}
- name: run
  {{- if $v.unixSocket.hostPath }}
  hostPath:
    path: {{ $v.unixSocket.hostPath }}
    type: Directory
  {{- else }}
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
  {{- end }}
{{- if and $v.ssd.size (ne $v.ssd.volume "pvc") }}
- name: ssd
  {{- if eq $v.ssd.volume "emptyDir" }}
  emptyDir:
    sizeLimit: {{ include "cairn.diskNeeded" . }}
  {{- else if eq $v.ssd.volume "hostPath" }}
  hostPath:
    path: {{ $v.ssd.hostPath }}
    type: Directory
  {{- else }}
  ephemeral:
    volumeClaimTemplate:
      {{- include "cairn.claim" . | nindent 6 }}
  {{- end }}
{{- end }}
{{- if eq $v.tls.mode "spiffe" }}
- name: tls
  csi:
    driver: spiffe.csi.cert-manager.io
    readOnly: true
    volumeAttributes:
      spiffe.csi.cert-manager.io/fs-group: "65532"
{{- else if ne $v.tls.mode "none" }}
- name: tls
  secret:
    secretName: {{ include "cairn.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "cairn.claim" -}}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .Values.ssd.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ include "cairn.diskNeeded" . }}
{{- end -}}

{{- define "cairn.podTemplate" -}}
{{- $v := .Values -}}
metadata:
  labels:
    {{- include "cairn.selector" . | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "cairn.serviceAccount" . }}
  automountServiceAccountToken: false
  # Variables like CAIRN_PORT, which Kubernetes would make of a service's name, are cairnd's own.
  enableServiceLinks: false
  {{- with $v.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $v.gpu.enabled $v.gpu.runtimeClassName }}
  runtimeClassName: {{ $v.gpu.runtimeClassName }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ default (include "cairn.graceNeeded" .) $v.shutdown.gracePeriodSeconds | int }}
  securityContext:
    {{- if ne $v.rdma.memlock "capability" }}
    runAsNonRoot: true
    {{- end }}
    runAsUser: {{ include "cairn.uid" . }}
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    {{- include "cairn.container" . | nindent 4 }}
  volumes:
    {{- include "cairn.volumes" . | nindent 4 }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq $v.mode "statefulset" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "cairn.selector" . | nindent 10 }}
  {{- end }}
{{- end -}}

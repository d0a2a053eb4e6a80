{{- define "cairn.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of objects begin so: the release's name, and the chart's if that does not have it. */}}
{{- define "cairn.fullname" -}}
{{- $name := include "cairn.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.selector" -}}
app.kubernetes.io/name: {{ include "cairn.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cairn.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "cairn.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "cairn.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cairn.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* As whom the daemon runs. Folders of the node have to belong to it: it has no capability to pass over
permissions, not even as uid 0. */}}
{{- define "cairn.uid" -}}
{{- ternary "0" "65532" (eq .Values.rdma.memlock "capability") -}}
{{- end -}}

{{- define "cairn.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" .Values.gpu.enabled)) (include "cairn.written" $image.tag)) -}}
{{- end -}}
{{- end -}}

{{/* The service that has each daemon's own name in DNS. */}}
{{- define "cairn.headless" -}}
{{- printf "%s-daemons" (include "cairn.fullname" .) -}}
{{- end -}}

{{/* Where engines connect. */}}
{{- define "cairn.endpoint" -}}
{{- if eq .Values.mode "daemonset" -}}
{{- printf "%s.%s.svc:%d" (include "cairn.fullname" .) .Release.Namespace (int .Values.listen.port) -}}
{{- else -}}
{{- $all := list -}}
{{- $root := . -}}
{{- range $i := until (int .Values.replicas) -}}
{{- $all = append $all (printf "%s-%d.%s.%s.svc:%d" (include "cairn.fullname" $root) $i (include "cairn.headless" $root) $root.Release.Namespace (int $root.Values.listen.port)) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}
{{- end -}}

{{/* All daemons by name, as --members takes them. */}}
{{- define "cairn.members" -}}
{{- $all := list -}}
{{- $name := include "cairn.fullname" . -}}
{{- range $i, $endpoint := splitList "," (include "cairn.endpoint" .) -}}
{{- $all = append $all (printf "%s-%d=%s" $name $i $endpoint) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* What the daemons' own certificates say, with tls.mode certManager and spiffe. */}}
{{- define "cairn.daemonIdentity" -}}
{{- printf "spiffe://%s/ns/%s/sa/%s" .Values.tls.trustDomain .Release.Namespace (include "cairn.serviceAccount" .) -}}
{{- end -}}

{{/* "true" where cairnctl inside one pod may administer the other daemons. Authorities of SPIFFE give one identity
to all pods of a service account, so the account has to be one that the release makes for itself. */}}
{{- define "cairn.membersAdmin" -}}
{{- $known := has .Values.tls.mode (list "certManager" "spiffe") -}}
{{- if and .Values.membersAdmin .Values.serviceAccount.create $known (eq .Values.mode "statefulset") -}}true{{- end -}}
{{- end -}}

{{/* The identity of the client certificate that the release makes for a tenant. */}}
{{- define "cairn.tenantIdentity" -}}
{{- printf "spiffe://%s/cairn/tenant/%s" .root.Values.tls.trustDomain .tenant.name -}}
{{- end -}}

{{/* identity=tenant,identity=tenant, as --tls-tenants takes it. */}}
{{- define "cairn.tlsTenants" -}}
{{- $root := . -}}
{{- $pairs := list -}}
{{- range $tenant := .Values.tenants -}}
{{- range $identity := $tenant.identities -}}
{{- $pairs = append $pairs (printf "%s=%s" $identity $tenant.name) -}}
{{- end -}}
{{- if $tenant.certificate -}}
{{- $pairs = append $pairs (printf "%s=%s" (include "cairn.tenantIdentity" (dict "root" $root "tenant" $tenant)) $tenant.name) -}}
{{- end -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "cairn.tlsSecret" -}}
{{- if eq .Values.tls.mode "secret" -}}
{{- .Values.tls.secretName -}}
{{- else -}}
{{- printf "%s-tls" (include "cairn.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "cairn.issuer" -}}
{{- if .Values.tls.issuerRef -}}
{{- toYaml .Values.tls.issuerRef -}}
{{- else -}}
name: {{ include "cairn.fullname" . }}-ca
kind: Issuer
{{- end -}}
{{- end -}}

{{/* What certificates of the release have in common. */}}
{{- define "cairn.certificateLife" -}}
duration: {{ .Values.tls.duration }}
{{- with .Values.tls.renewBefore }}
renewBefore: {{ . }}
{{- end }}
privateKey:
  algorithm: ECDSA
  size: 256
  rotationPolicy: Always
issuerRef:
  {{- include "cairn.issuer" . | nindent 2 }}
{{- end -}}

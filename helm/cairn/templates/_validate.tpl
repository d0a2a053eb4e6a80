{{/* Refuses values that contradict each other. What cairnd alone can judge, it judges at its start. */}}
{{- define "cairn.validate" -}}
{{- include "cairn.validateSizes" . -}}
{{- include "cairn.validateDisk" . -}}
{{- include "cairn.validateDevices" . -}}
{{- include "cairn.validateTls" . -}}
{{- include "cairn.validateTenants" . -}}
{{- include "cairn.validateNetwork" . -}}
{{- include "cairn.validateSettings" . -}}
{{- include "cairn.validateCluster" . -}}
{{- end -}}

{{- define "cairn.validateSizes" -}}
{{- $v := .Values -}}
{{- if not $v.image.repository -}}
{{- fail "image.repository: from where shall nodes pull the image? Build it by deploy/images/Dockerfile, push it, and give its name, for instance --set image.repository=registry.example.com/cairnd" -}}
{{- end -}}
{{- if and $v.image.tag $v.image.digest -}}
{{- fail "image.tag and image.digest: give one of them; a digest says it all" -}}
{{- end -}}
{{- if lt (include "cairn.bytes" (list $v.memory "memory") | int64) 33554432 -}}
{{- fail (printf "memory: %s is too little; give at least 32Mi" $v.memory) -}}
{{- end -}}
{{- if $v.resources.memoryLimit -}}
{{- $needed := include "cairn.memoryNeeded" . | int64 -}}
{{- if lt (include "cairn.bytes" (list $v.resources.memoryLimit "resources.memoryLimit") | int64) $needed -}}
{{- fail (printf "resources.memoryLimit: %s is less than what the daemon may take: memory, index, headroom and what planner and gpu need add up to %s. Leave it empty, or make memory smaller" $v.resources.memoryLimit (include "cairn.mebibytes" $needed)) -}}
{{- end -}}
{{- end -}}
{{- if $v.shutdown.gracePeriodSeconds -}}
{{- $needed := include "cairn.graceNeeded" . | int -}}
{{- if lt (int $v.shutdown.gracePeriodSeconds) $needed -}}
{{- fail (printf "shutdown.gracePeriodSeconds: %d is too short: preStopSeconds, drainMs and the time to write to SSD add up to %d, and a daemon that is killed before loses what was not written. Leave it empty, or make drainMs smaller" (int $v.shutdown.gracePeriodSeconds) $needed) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateDisk" -}}
{{- $ssd := .Values.ssd -}}
{{- if not $ssd.size -}}
{{- if ne $ssd.volume "emptyDir" -}}
{{- fail (printf "ssd.volume is %s, but ssd.size is empty, and so there is no SSD tier: how much of the disk may be used? For instance ssd.size=100Gi" $ssd.volume) -}}
{{- end -}}
{{- else -}}
{{- if lt (include "cairn.bytes" (list $ssd.size "ssd.size") | int64) 16777216 -}}
{{- fail (printf "ssd.size: %s is too little; give at least 16Mi" $ssd.size) -}}
{{- end -}}
{{- if and (eq $ssd.volume "pvc") (eq .Values.mode "daemonset") -}}
{{- fail "ssd.volume: pvc is for mode statefulset, where each replica has a claim of its own that stays; with daemonset use ephemeral (a claim that lives as long as the pod) or emptyDir" -}}
{{- end -}}
{{- if and (eq $ssd.volume "hostPath") (not $ssd.hostPath) -}}
{{- fail "ssd.hostPath: which folder of the node? It must belong to uid 65532" -}}
{{- end -}}
{{- end -}}
{{- if and $ssd.hostPath (ne $ssd.volume "hostPath") -}}
{{- fail (printf "ssd.hostPath is given, but ssd.volume is %s; set ssd.volume=hostPath, or leave ssd.hostPath empty" $ssd.volume) -}}
{{- end -}}
{{- if and $ssd.storageClass (not (has $ssd.volume (list "ephemeral" "pvc"))) -}}
{{- fail (printf "ssd.storageClass is given, but ssd.volume is %s, which makes no claim; set ssd.volume=ephemeral or pvc" $ssd.volume) -}}
{{- end -}}
{{- if and (eq $ssd.volume "hostPath") (ne .Values.podSecurity "privileged") -}}
{{- fail "ssd.volume: hostPath reaches into the node, which Pod Security 'restricted' forbids; use emptyDir or ephemeral, or set podSecurity=privileged and label the namespace so" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateDevices" -}}
{{- $v := .Values -}}
{{- if and $v.gpu.enabled (not $v.gpu.memory) -}}
{{- fail "gpu.memory: how much GPU memory may be used? Leave the engines theirs; for instance gpu.memory=4Gi" -}}
{{- end -}}
{{- if and $v.gpu.memory (not $v.gpu.enabled) -}}
{{- fail "gpu.memory is given, but gpu.enabled is false; set gpu.enabled=true, or leave gpu.memory empty" -}}
{{- end -}}
{{- if $v.gpu.enabled -}}
{{- if lt (include "cairn.bytes" (list $v.gpu.memory "gpu.memory") | int64) 8388608 -}}
{{- fail (printf "gpu.memory: %s is too little; give at least 8Mi" $v.gpu.memory) -}}
{{- end -}}
{{- end -}}
{{- if $v.rdma.enabled -}}
{{- if not $v.rdma.resource -}}
{{- fail "rdma.resource: what does the device plugin call the network card? kubectl describe node shows it, for instance rdma/hca_shared_devices_a" -}}
{{- end -}}
{{- if regexMatch "(^|,)(tcp|all)(,|$)" $v.rdma.transports -}}
{{- fail (printf "rdma.transports: %s has tcp in it, by which anybody who reaches the port can change memory; name the transports of the card, for instance rc,ud" $v.rdma.transports) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.rdma.memlock "capability") (not $v.rdma.enabled) -}}
{{- fail "rdma.memlock is capability, but rdma.enabled is false: nothing needs locked memory" -}}
{{- end -}}
{{- if and (eq $v.rdma.memlock "capability") (ne $v.podSecurity "privileged") -}}
{{- fail "rdma.memlock: capability runs the daemon as uid 0 with IPC_LOCK, which Pod Security 'restricted' forbids; raise the node's limit of locked memory and use memlock=node, or set podSecurity=privileged and label the namespace so" -}}
{{- end -}}
{{- if and $v.unixSocket.hostPath (ne $v.podSecurity "privileged") -}}
{{- fail "unixSocket.hostPath reaches into the node, which Pod Security 'restricted' forbids; let engines connect by TCP, or set podSecurity=privileged and label the namespace so" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateTls" -}}
{{- $tls := .Values.tls -}}
{{- if and (eq $tls.mode "none") (not $tls.acceptPlainText) -}}
{{- fail "tls.mode: none sends everything as plain text and lets everybody in who reaches the port; on a closed network say so by tls.acceptPlainText=true, else use certManager, spiffe or secret" -}}
{{- end -}}
{{- if and (ne $tls.mode "none") $tls.acceptPlainText -}}
{{- fail (printf "tls.acceptPlainText is true, but tls.mode is %s: all ports are encrypted. Set tls.mode=none if you mean plain text" $tls.mode) -}}
{{- end -}}
{{- if and (eq $tls.mode "secret") (not $tls.secretName) -}}
{{- fail "tls.secretName: which secret has the daemon's tls.crt, tls.key and ca.crt?" -}}
{{- end -}}
{{- if and $tls.secretName (ne $tls.mode "secret") -}}
{{- fail (printf "tls.secretName is given, but tls.mode is %s; set tls.mode=secret, or leave tls.secretName empty" $tls.mode) -}}
{{- end -}}
{{- if and $tls.issuerRef (ne $tls.mode "certManager") -}}
{{- fail (printf "tls.issuerRef is given, but tls.mode is %s; it is for certManager" $tls.mode) -}}
{{- end -}}
{{- if and .Values.admins (eq $tls.mode "none") -}}
{{- fail "admins: without certificates nobody is known over TCP; use another tls.mode, or kubectl exec with cairnctl" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (has $tls.mode (list "secret" "spiffe")) (not .Values.serviceMonitor.tlsConfig) -}}
{{- fail (printf "serviceMonitor.tlsConfig: the metrics port asks for a client certificate, and with tls.mode %s the chart makes none; say which one Prometheus shall show (ca, cert and keySecret of a ServiceMonitor's tlsConfig)" $tls.mode) -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateTenants" -}}
{{- $tls := .Values.tls -}}
{{- if and .Values.tenants (eq $tls.mode "none") -}}
{{- fail "tenants: a tenant is known by its certificate, and with tls.mode none there are none; use another tls.mode, or leave tenants empty" -}}
{{- end -}}
{{- $names := dict -}}
{{- $owners := dict -}}
{{- range $tenant := .Values.tenants -}}
{{- if hasKey $names $tenant.name -}}
{{- fail (printf "tenants: '%s' is there twice; put all its identities into one entry" $tenant.name) -}}
{{- end -}}
{{- $_ := set $names $tenant.name true -}}
{{- if not (or $tenant.identities $tenant.certificate) -}}
{{- fail (printf "tenants: '%s' has neither identities nor certificate: nobody could be it" $tenant.name) -}}
{{- end -}}
{{- if and $tenant.certificate (ne $tls.mode "certManager") -}}
{{- fail (printf "tenants: certificate of '%s' is made with tls.mode certManager only, and it is %s; give its identities instead" $tenant.name $tls.mode) -}}
{{- end -}}
{{- range $identity := $tenant.identities -}}
{{- if regexMatch "[=,\\s]" $identity -}}
{{- fail (printf "tenants: '%s' of '%s' is no identity; write spiffe://domain/path or a DNS name" $identity $tenant.name) -}}
{{- end -}}
{{- if hasKey $owners $identity -}}
{{- fail (printf "tenants: '%s' is given to '%s' and to '%s'; an identity is of one tenant" $identity (get $owners $identity) $tenant.name) -}}
{{- end -}}
{{- $_ := set $owners $identity $tenant.name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateNetwork" -}}
{{- $v := .Values -}}
{{- if eq (int $v.listen.port) (int $v.listen.httpPort) -}}
{{- fail (printf "listen.port and listen.httpPort are both %d; give each its own" (int $v.listen.port)) -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- if not $v.networkPolicy.engines -}}
{{- fail "networkPolicy.engines is empty: no engine could connect; name their pods, or set networkPolicy.enabled=false" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.networkPolicy.prometheus) -}}
{{- fail "networkPolicy.prometheus is empty, but serviceMonitor.enabled is true: Prometheus could not connect; name its pods" -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.mode "statefulset") $v.podDisruptionBudget.enabled (eq ($v.podDisruptionBudget.maxUnavailable | toString) "0") -}}
{{- fail "podDisruptionBudget.maxUnavailable: with 0 no node that runs a daemon could ever be drained; a daemon that is away costs misses only, so give at least 1" -}}
{{- end -}}
{{- if and (eq $v.mode "statefulset") $v.unixSocket.hostPath -}}
{{- fail "unixSocket.hostPath: two replicas on a node would fight for one socket; use mode daemonset" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateSettings" -}}
{{- $own := dict "memory" "memory" "index" "index" "huge-pages" "hugePages" "prefault" "prefault" "ssd" "ssd.size" "ssd-path" "ssd.volume" "ssd-min-free" "ssd.minFree" "ssd-codec" "ssd.codec" "gpu" "gpu.enabled" "gpu-memory" "gpu.memory" "gpu-device" "gpu.count" "listen-unix" "unixSocket" "listen-tcp" "listen.port" "listen-http" "listen.httpPort" "allow-insecure-tcp" "tls.acceptPlainText" "planner" "planner" "eviction" "eviction" "placement-memory" "placementMemory" "members" "mode" "drain-ms" "drainMs" "log-level" "logLevel" "tls-cert" "tls" "tls-key" "tls" "tls-ca" "tls" "tls-tenants" "tenants" "tls-admins" "admins" "ucx" "rdma.enabled" "ucx-tls" "rdma.transports" -}}
{{- range $name, $value := .Values.settings -}}
{{- if hasKey $own $name -}}
{{- fail (printf "settings.%s: the chart has a value of its own for that, %s; use it, or limits and daemon would disagree" $name (get $own $name)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" $name) -}}
{{- fail (printf "settings.%s: options are written as cairnd --help has them, without the dashes in front: lease-ms" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What has to be in the cluster. Known only while connected: then kinds are listed too. */}}
{{- define "cairn.validateCluster" -}}
{{- if .Capabilities.APIVersions.Has "v1/Pod" -}}
{{- if and (eq .Values.tls.mode "certManager") (not (.Capabilities.APIVersions.Has "cert-manager.io/v1/Certificate")) -}}
{{- fail "tls.mode is certManager, but cert-manager is not in this cluster; install it, or give certificates by tls.mode=secret and tls.secretName" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) -}}
{{- fail "serviceMonitor.enabled is true, but this cluster has no Prometheus operator (monitoring.coreos.com); install it, or scrape the service by other means" -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PrometheusRule")) -}}
{{- fail "prometheusRule.enabled is true, but this cluster has no Prometheus operator (monitoring.coreos.com); install it, or give files/rules.yaml to your Prometheus" -}}
{{- end -}}
{{- end -}}
{{- end -}}

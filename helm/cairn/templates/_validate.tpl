{{/* Refuses values that contradict each other. What cairnd alone can judge, it judges at its start. */}}
{{- define "cairn.validate" -}}
{{- include "cairn.validateSizes" . -}}
{{- include "cairn.validateDisk" . -}}
{{- include "cairn.validateDevices" . -}}
{{- include "cairn.validateTls" . -}}
{{- include "cairn.validateTenants" . -}}
{{- include "cairn.validateNetwork" . -}}
{{- include "cairn.validateDaemon" . -}}
{{- include "cairn.validateSettings" . -}}
{{- include "cairn.validateCluster" . -}}
{{- end -}}

{{- define "cairn.validateSizes" -}}
{{- $v := .Values -}}
{{- if not $v.image.repository -}}
{{- fail "image.repository: from where shall nodes pull the image? Build it by deploy/images/Dockerfile, push it, and give its name, for instance --set image.repository=registry.example.com/cairnd" -}}
{{- end -}}
{{- with regexFind "(:[^/]*|@.*)$" $v.image.repository -}}
{{- fail (printf "image.repository: '%s' says with '%s' already which image; the chart puts tag or digest behind it. Give them by image.tag or image.digest" $v.image.repository .) -}}
{{- end -}}
{{- if and $v.image.tag $v.image.digest -}}
{{- fail "image.tag and image.digest: give one of them; a digest says it all" -}}
{{- end -}}
{{- if lt (include "cairn.bytes" (list $v.memory "memory") | int64) 33554432 -}}
{{- fail (printf "memory: %s is too little; give at least 32Mi" (include "cairn.written" $v.memory)) -}}
{{- end -}}
{{- if $v.resources.memoryLimit -}}
{{- $needed := include "cairn.memoryNeeded" . | int64 -}}
{{- if lt (include "cairn.bytes" (list $v.resources.memoryLimit "resources.memoryLimit") | int64) $needed -}}
{{- fail (printf "resources.memoryLimit: %s is less than what the daemon may take: memory, index, headroom and what planner and gpu need add up to %s. Leave it empty, or make memory smaller" (include "cairn.written" $v.resources.memoryLimit) (include "cairn.mebibytes" $needed)) -}}
{{- end -}}
{{- end -}}
{{- $cores := include "cairn.millicores" (list $v.resources.cpu.request "resources.cpu.request") | int -}}
{{- if $v.resources.cpu.limit -}}
{{- if lt (include "cairn.millicores" (list $v.resources.cpu.limit "resources.cpu.limit") | int) $cores -}}
{{- fail (printf "resources.cpu: the limit, %s, is less than the request, %s; Kubernetes refuses that. Leave the limit empty, or make it larger" (toString $v.resources.cpu.limit) (toString $v.resources.cpu.request)) -}}
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
{{- fail (printf "ssd.size: %s is too little; give at least 16Mi" (include "cairn.written" $ssd.size)) -}}
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
{{- range $name, $_ := $v.resources.extra -}}
{{- if not (contains "/" $name) -}}
{{- fail (printf "resources.extra.%s: it is for what device plugins offer, as example.com/device. CPU is resources.cpu, memory resources.memoryLimit, ephemeral-storage follows from ssd.size, and huge pages that were set aside the daemon does not use" $name) -}}
{{- end -}}
{{- if or (and $v.gpu.enabled (eq $name $v.gpu.resource)) (and $v.rdma.enabled (eq $name $v.rdma.resource)) -}}
{{- fail (printf "resources.extra: %s is asked for by %s.enabled already; use %[2]s.count" $name (ternary "gpu" "rdma" (and $v.gpu.enabled (eq $name $v.gpu.resource)))) -}}
{{- end -}}
{{- end -}}
{{- if and $v.gpu.enabled (not $v.gpu.memory) -}}
{{- fail "gpu.memory: how much GPU memory may be used? Leave the engines theirs; for instance gpu.memory=4Gi" -}}
{{- end -}}
{{- if and $v.gpu.memory (not $v.gpu.enabled) -}}
{{- fail "gpu.memory is given, but gpu.enabled is false; set gpu.enabled=true, or leave gpu.memory empty" -}}
{{- end -}}
{{- if and $v.gpu.runtimeClassName (not $v.gpu.enabled) -}}
{{- fail "gpu.runtimeClassName is given, but gpu.enabled is false; set gpu.enabled=true, or leave it empty" -}}
{{- end -}}
{{- if $v.gpu.enabled -}}
{{- if lt (include "cairn.bytes" (list $v.gpu.memory "gpu.memory") | int64) 8388608 -}}
{{- fail (printf "gpu.memory: %s is too little; give at least 8Mi" (include "cairn.written" $v.gpu.memory)) -}}
{{- end -}}
{{- end -}}
{{- include "cairn.validateRdma" . -}}
{{- if and $v.unixSocket.hostPath (ne $v.podSecurity "privileged") -}}
{{- fail "unixSocket.hostPath reaches into the node, which Pod Security 'restricted' forbids; let engines connect by TCP, or set podSecurity=privileged and label the namespace so" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateRdma" -}}
{{- $rdma := .Values.rdma -}}
{{- if not $rdma.enabled -}}
{{- if eq $rdma.memlock "capability" -}}
{{- fail "rdma.memlock is capability, but rdma.enabled is false: nothing needs locked memory" -}}
{{- end -}}
{{- range $name := list "resource" "transports" -}}
{{- if get $rdma $name -}}
{{- fail (printf "rdma.%s is given, but rdma.enabled is false; set rdma.enabled=true, or leave it empty" $name) -}}
{{- end -}}
{{- end -}}
{{- if ne (int $rdma.count) 1 -}}
{{- fail (printf "rdma.count is %d, but rdma.enabled is false; set rdma.enabled=true, or leave it out" (int $rdma.count)) -}}
{{- end -}}
{{- else -}}
{{- if not $rdma.resource -}}
{{- fail "rdma.resource: what does the device plugin call the network card? kubectl describe node shows it, for instance rdma/hca_shared_devices_a" -}}
{{- end -}}
{{- if eq .Values.tls.mode "none" -}}
{{- fail "rdma.enabled: the daemon uses RDMA only with engines that it knows by their certificate, and with tls.mode none there are none: the card would be taken and never used. Use another tls.mode, or set rdma.enabled=false" -}}
{{- end -}}
{{- if not .Values.tenants -}}
{{- fail "rdma.enabled: the daemon uses RDMA only with engines whose identity `tenants` names, and it is empty: the card would be taken and never used. Name them, for instance spiffe://cluster.local/ns/serving/sa/vllm, or set rdma.enabled=false" -}}
{{- end -}}
{{- range $name := splitList "," $rdma.transports -}}
{{- if and $rdma.transports (or (has $name (list "tcp" "all" "sockcm")) (not (regexMatch "^[a-z][a-z0-9_]*$" $name))) -}}
{{- fail (printf "rdma.transports: '%s' in %s has tcp in it, by which anybody who reaches the port can change memory; name the transports of the card, for instance rc,ud" $name $rdma.transports) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $rdma.memlock "capability") (ne .Values.podSecurity "privileged") -}}
{{- fail "rdma.memlock: capability runs the daemon as uid 0 with IPC_LOCK, which Pod Security 'restricted' forbids; raise the node's limit of locked memory and use memlock=node, or set podSecurity=privileged and label the namespace so" -}}
{{- end -}}
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
{{- include "cairn.validateLife" . -}}
{{- if and .Values.admins (eq $tls.mode "none") -}}
{{- fail "admins: without certificates nobody is known over TCP; use another tls.mode, or kubectl exec with cairnctl" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (has $tls.mode (list "secret" "spiffe")) (not .Values.serviceMonitor.tlsConfig) -}}
{{- fail (printf "serviceMonitor.tlsConfig: the metrics port asks for a client certificate, and with tls.mode %s the chart makes none; say which one Prometheus shall show (ca, cert and keySecret of a ServiceMonitor's tlsConfig)" $tls.mode) -}}
{{- end -}}
{{- end -}}

{{/* What cert-manager refuses, and what would set off the alert at each renewal (files/rules.yaml). */}}
{{- define "cairn.validateLife" -}}
{{- $tls := .Values.tls -}}
{{- $life := include "cairn.seconds" (list $tls.duration "tls.duration") | int64 -}}
{{- if and $tls.renewBefore (ne $tls.mode "certManager") -}}
{{- fail (printf "tls.renewBefore is given, but tls.mode is %s; it is for certManager" $tls.mode) -}}
{{- end -}}
{{- if lt $life 3600 -}}
{{- fail (printf "tls.duration: %s is too short; cert-manager wants at least 1h" $tls.duration) -}}
{{- end -}}
{{- if $tls.renewBefore -}}
{{- $before := include "cairn.seconds" (list $tls.renewBefore "tls.renewBefore") | int64 -}}
{{- if ge $before $life -}}
{{- fail (printf "tls.renewBefore: %s is not less than tls.duration, %s. Leave it empty: a third of the duration" $tls.renewBefore $tls.duration) -}}
{{- end -}}
{{- if lt $before 300 -}}
{{- fail (printf "tls.renewBefore: %s is too short; cert-manager wants at least 5m" $tls.renewBefore) -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (lt $before (min 259200 (div $life 6))) -}}
{{- fail (printf "tls.renewBefore: with %s the alert CairnCertificateExpires would fire before each renewal: it does so when three days or a sixth of tls.duration are left, whichever is less. Leave it empty: a third of the duration" $tls.renewBefore) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" for what cairnd takes as one identity, and nothing for what it does not. */}}
{{- define "cairn.isIdentity" -}}
{{- if and (regexMatch "^[!-+--~]+$" .) (le (len .) 2048) -}}true{{- end -}}
{{- end -}}

{{- define "cairn.validateTenants" -}}
{{- $tls := .Values.tls -}}
{{- if and .Values.tenants (eq $tls.mode "none") -}}
{{- fail "tenants: a tenant is known by its certificate, and with tls.mode none there are none; use another tls.mode, or leave tenants empty" -}}
{{- end -}}
{{- include "cairn.validateSocket" . -}}
{{- range $identity := .Values.admins -}}
{{- if or (contains "*" $identity) (not (include "cairn.isIdentity" $identity)) -}}
{{- fail (printf "admins: '%s' is not one identity; write each in full, for instance spiffe://cluster.local/ns/ops/sa/admin" $identity) -}}
{{- end -}}
{{- end -}}
{{- $names := dict -}}
{{- $owners := dict -}}
{{- /* The identities of certificates that the chart makes are taken from the start. */ -}}
{{- range $tenant := .Values.tenants -}}
{{- if $tenant.certificate -}}
{{- $_ := set $owners (include "cairn.tenantIdentity" (dict "root" $ "tenant" $tenant)) $tenant.name -}}
{{- end -}}
{{- end -}}
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
{{- if or (contains "=" $identity) (not (include "cairn.isIdentity" $identity)) -}}
{{- fail (printf "tenants: '%s' of '%s' is no identity; write spiffe://domain/path or a DNS name" $identity $tenant.name) -}}
{{- end -}}
{{- if and (contains "*" $identity) (not (regexMatch "^([*]|spiffe://([^*]*/)?[*])$" $identity)) -}}
{{- fail (printf "tenants: '%s' of '%s': a * stands for what is below a path, as in spiffe://domain/acme/*, or alone for everybody; 'acme*' would be 'acme-of-somebody-else' too" $identity $tenant.name) -}}
{{- end -}}
{{- /* As the daemon compares them: only a path's case counts. */ -}}
{{- $key := ternary $identity (lower $identity) (hasPrefix "spiffe://" $identity) -}}
{{- if hasKey $owners $key -}}
{{- fail (printf "tenants: '%s' is given to '%s' and to '%s'; an identity is of one tenant, and those of certificates that the chart makes are there already" $identity (get $owners $key) $tenant.name) -}}
{{- end -}}
{{- $_ := set $owners $key $tenant.name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* On the Unix socket there is no certificate: the tenant is what the engine says, and it maps all memory. */}}
{{- define "cairn.validateSocket" -}}
{{- $socket := .Values.unixSocket -}}
{{- if and .Values.tenants $socket.hostPath (not $socket.trustAll) -}}
{{- fail "tenants and unixSocket.hostPath cancel each other: who opens the node's socket says itself which tenant it is, and maps what all of them store. Leave unixSocket.hostPath empty, or, if every pod that is let to the socket may be every tenant, say so by unixSocket.trustAll=true" -}}
{{- end -}}
{{- if and $socket.trustAll (not (and .Values.tenants $socket.hostPath)) -}}
{{- fail "unixSocket.trustAll is for tenants together with unixSocket.hostPath, and one of them is empty; leave it false" -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateNetwork" -}}
{{- $v := .Values -}}
{{- if not (has $v.listen.host (list "0.0.0.0" "[::]")) -}}
{{- fail (printf "listen.host: no other pod would reach '%s', whatever address the pod gets; write 0.0.0.0, or \"[::]\" for IPv6. Who may connect is decided by networkPolicy.engines" $v.listen.host) -}}
{{- end -}}
{{- if not (regexMatch "^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" $v.serviceMonitor.interval | and $v.serviceMonitor.interval) -}}
{{- fail (printf "serviceMonitor.interval: '%s' is no duration of Prometheus; write for example 30s or 1m" $v.serviceMonitor.interval) -}}
{{- end -}}
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
{{- if and (eq $v.mode "statefulset") $v.podDisruptionBudget.enabled (regexMatch "^0+%?$" ($v.podDisruptionBudget.maxUnavailable | toString)) -}}
{{- fail "podDisruptionBudget.maxUnavailable: with 0 no node that runs a daemon could ever be drained; a daemon that is away costs misses only, so give at least 1" -}}
{{- end -}}
{{- if and (eq $v.mode "statefulset") $v.unixSocket.hostPath -}}
{{- fail "unixSocket.hostPath: two replicas on a node would fight for one socket; use mode daemonset" -}}
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

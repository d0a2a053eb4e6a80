{{/* Refuses what cairnd would refuse at its start: planners, codecs and options, as this version of it knows them.
tests/helm/agreement_test.py holds these lists against cairnd itself. */}}
{{- define "cairn.validateDaemon" -}}
{{- $planners := list "trie" "none" "turn_end" "turn_end_demand" "branch_end" "dense" -}}
{{- $planner := .Values.planner -}}
{{- $positions := regexFind "^branch_backoff:[1-9][0-9]{0,3}$" $planner | trimPrefix "branch_backoff:" | int -}}
{{- if not (or (has $planner $planners) (regexMatch "^block:[1-9][0-9]{0,8}$" $planner) (and (ge $positions 1) (le $positions 4096))) -}}
{{- fail (printf "planner: cairnd has no '%s'; write %s, branch_backoff:POSITIONS (1 to 4096) or block:TOKENS" $planner (join ", " $planners)) -}}
{{- end -}}
{{- include "cairn.validateCodec" .Values.ssd.codec -}}
{{- end -}}

{{/* cairn.validateCodec RULES: for all models, then exceptions MODEL=CODEC (docs/operations.md). */}}
{{- define "cairn.validateCodec" -}}
{{- $any := list "none" "lossless" "bf16_round" -}}
{{- $checkpoint := list "int8_column" -}}
{{- $kv := list "fp8_kv" "int8_kv" "kivi2" "kivi4" "cachegen" -}}
{{- $of_checkpoint := printf "checkpoint:(%s)" (join "|" (concat $any $checkpoint)) -}}
{{- $of_kv := printf "kv:(%s)" (join "|" (concat $any $kv)) -}}
{{- $codec := printf "^(%s|%s|%s|%[2]s\\+%[3]s|%[3]s\\+%[2]s)$" (join "|" $any) $of_checkpoint $of_kv -}}
{{- $models := dict -}}
{{- range $i, $entry := splitList "," . -}}
{{- $model := regexFind "^[^=]*=" $entry | trimSuffix "=" | trim -}}
{{- if not (regexMatch $codec (regexReplaceAll "^[^=]*=" $entry "" | trim)) -}}
{{- fail (printf "ssd.codec: cairnd has no '%s'; write %s, or by kind checkpoint:CODEC, kv:CODEC, or both joined by +, where checkpoints also have %s and KV has %s; then exceptions MODEL=CODEC, divided by commas" $entry (join ", " $any) (join ", " $checkpoint) (join ", " $kv)) -}}
{{- end -}}
{{- if and (or (contains "=" $entry) $i) (not $model) -}}
{{- fail (printf "ssd.codec: '%s' does not say for which model; write MODEL=CODEC" $entry) -}}
{{- end -}}
{{- if and $model (hasKey $models $model) -}}
{{- fail (printf "ssd.codec: the model %s is there twice" $model) -}}
{{- end -}}
{{- $_ := set $models $model true -}}
{{- end -}}
{{- end -}}

{{- define "cairn.validateSettings" -}}
{{- $taken := list "lease-ms" "max-connections" "placement-file" "placement-save-ms" "ssd-direct-io" "ssd-flush-ms" "ssd-queue" "ssd-readers" "ssd-write-buffer" "staging" "threads" "tls-handshakes" "tls-kernel" "workers" -}}
{{- $own := dict "memory" "memory" "index" "index" "huge-pages" "hugePages" "prefault" "prefault" "ssd" "ssd.size" "ssd-path" "ssd.volume" "ssd-min-free" "ssd.minFree" "ssd-codec" "ssd.codec" "gpu" "gpu.enabled" "gpu-memory" "gpu.memory" "gpu-device" "gpu.count" "listen-unix" "unixSocket" "listen-tcp" "listen.port" "listen-http" "listen.httpPort" "allow-insecure-tcp" "tls.acceptPlainText" "planner" "planner" "eviction" "eviction" "placement-memory" "placementMemory" "members" "mode" "drain-ms" "drainMs" "log-level" "logLevel" "tls-cert" "tls" "tls-key" "tls" "tls-ca" "tls" "tls-tenants" "tenants" "tls-admins" "admins" "ucx" "rdma.enabled" "ucx-tls" "rdma.transports" -}}
{{- range $name, $value := .Values.settings -}}
{{- if eq $name "ucx-allow-insecure-tcp" -}}
{{- fail "settings.ucx-allow-insecure-tcp: whoever reaches UCX's ports could read and write the daemon's memory, and it would not look for such ports at its start; the chart does not do that. Leave it out, and name the card's transports by rdma.transports" -}}
{{- end -}}
{{- if hasKey $own $name -}}
{{- fail (printf "settings.%s: the chart has a value of its own for that, %s; use it, or limits and daemon would disagree" $name (get $own $name)) -}}
{{- end -}}
{{- if not (has $name $taken) -}}
{{- fail (printf "settings.%s: there is no such setting of cairnd; write it as cairnd --help has it, without the dashes in front: %s" $name (join ", " $taken)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* cairn.written VALUE: as whoever set it wrote it. A plain number in a file of values is a float, and would be
1e+09 otherwise; by --set it is an integer, which %s does not take. */}}
{{- define "cairn.written" -}}
{{- if kindIs "float64" . -}}{{- int64 . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/* cairn.bytes (list SIZE NAME): the size in bytes; fails in NAME's name if it is none. */}}
{{- define "cairn.bytes" -}}
{{- $text := include "cairn.written" (index . 0) -}}
{{- $name := index . 1 -}}
{{- if not (regexMatch "^[0-9]{1,15}([KMGT]i?B?|ki?B?)?$" $text) -}}
{{- fail (printf "%s: '%s' is not a size; write for example 512Mi or 4Gi, in whole numbers" $name $text) -}}
{{- end -}}
{{- $unit := regexFind "[A-Za-z]*$" $text | trimSuffix "B" | upper -}}
{{- $factors := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "KI" 1024 "MI" 1048576 "GI" 1073741824 "TI" 1099511627776 -}}
{{- mul (regexFind "^[0-9]+" $text | int64) (index $factors $unit | int64) -}}
{{- end -}}

{{/* cairn.mebibytes BYTES: as a quantity of Kubernetes, rounded up. */}}
{{- define "cairn.mebibytes" -}}
{{- printf "%dMi" (div (add (int64 .) 1048575) 1048576) -}}
{{- end -}}

{{/* What the daemon's memory adds up to, in bytes: docs/operations.md, "Memory". */}}
{{- define "cairn.memoryNeeded" -}}
{{- $v := .Values -}}
{{- $memory := include "cairn.bytes" (list $v.memory "memory") | int64 -}}
{{- $sum := add $memory (include "cairn.bytes" (list $v.index "index") | int64) 67108864 -}}
{{- /* Page tables, where pages are small. */ -}}
{{- $sum = add $sum (div $memory 256) -}}
{{- $sum = add $sum (include "cairn.bytes" (list $v.headroom "headroom") | int64) -}}
{{- if eq $v.planner "trie" -}}
{{- $sum = add $sum (mul 4 (include "cairn.bytes" (list $v.placementMemory "placementMemory") | int64)) -}}
{{- end -}}
{{- if $v.gpu.enabled -}}
{{- $sum = add $sum 16777216 (include "cairn.bytes" (list $v.gpu.driverMemory "gpu.driverMemory") | int64) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "cairn.memoryLimit" -}}
{{- if .Values.resources.memoryLimit -}}
{{- include "cairn.mebibytes" (include "cairn.bytes" (list .Values.resources.memoryLimit "resources.memoryLimit")) -}}
{{- else -}}
{{- include "cairn.mebibytes" (include "cairn.memoryNeeded" .) -}}
{{- end -}}
{{- end -}}

{{/* The volume of the SSD tier: the cap, what must stay free, and a twentieth for the file system. */}}
{{- define "cairn.diskNeeded" -}}
{{- $ssd := include "cairn.bytes" (list .Values.ssd.size "ssd.size") | int64 -}}
{{- $free := include "cairn.bytes" (list .Values.ssd.minFree "ssd.minFree") | int64 -}}
{{- include "cairn.mebibytes" (add $ssd (div $ssd 20) $free 268435456) -}}
{{- end -}}

{{/* Seconds from preStop to the end of the process: the daemon cuts off after drainMs and then gives the
SSD a minute; five more to end. */}}
{{- define "cairn.graceNeeded" -}}
{{- add (int .Values.shutdown.preStopSeconds) (div (add (int64 .Values.drainMs) 999) 1000) 65 -}}
{{- end -}}

{{/* cairn.millicores (list AMOUNT NAME): of CPU; fails in NAME's name if it is none. */}}
{{- define "cairn.millicores" -}}
{{- $text := toString (index . 0) -}}
{{- if not (regexMatch "^([0-9]{1,9}m|[0-9]{1,6}([.][0-9]{1,3})?)$" $text) -}}
{{- fail (printf "%s: '%s' is no number of cores; write for example 2, 1.5 or 500m" (index . 1) $text) -}}
{{- end -}}
{{- if hasSuffix "m" $text -}}
{{- trimSuffix "m" $text | int64 -}}
{{- else -}}
{{- mulf (float64 $text) 1000 | int64 -}}
{{- end -}}
{{- end -}}

{{/* cairn.seconds (list DURATION NAME): 90m or 2160h in seconds; fails in NAME's name if it is none. */}}
{{- define "cairn.seconds" -}}
{{- $text := toString (index . 0) -}}
{{- if not (regexMatch "^([0-9]{1,7}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$" $text | and $text) -}}
{{- fail (printf "%s: '%s' is no duration; write for example 2160h or 90m" (index . 1) $text) -}}
{{- end -}}
{{- $sum := 0 -}}
{{- range $unit, $factor := dict "h" 3600 "m" 60 "s" 1 -}}
{{- $sum = add $sum (mul $factor (regexFind (printf "[0-9]+%s" $unit) $text | trimSuffix $unit | int64)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

#!/usr/bin/env bash
# bench.sh [NAME]: measures one thing, prints a table, keeps the JSON in build/bench/NAME.json.
source .dev/lib.sh

bin=build/release/bin
out=build/bench
names='get stream put match ssd redis replay rss micro'

usage() {
  cat <<'TEXT'
./dev bench NAME measures:
  get      reading from shared memory against memcpy, and the daemon's CPU per read
  stream   reading by TCP over loopback against plain sockets (and iperf3)
  put      storing through shared memory against memcpy
  match    daemon CPU per match, matches per second and core
  ssd      reading from the SSD tier against a plain file with O_DIRECT
  redis    reading 1 to 16 MiB against Redis
  replay   a trace through a daemon
  rss      peak memory of a daemon at ten times its cap
  micro    Google Benchmark of arena, eviction and match
  all      all of them
TEXT
}

# Both forms of one run: the table on the terminal, the object in a file. The tool prints one of
# them per run, so it runs twice; the table's run is the warm-up.
both() {  # both NAME ARGUMENTS...
  local name=$1
  shift
  "$bin/cairn-bench" "$@"
  "$bin/cairn-bench" "$@" --json >"$out/$name.json"
  note "as JSON: $out/$name.json"
}

with_daemon() {  # with_daemon NAME MEMORY SSD REPLAY-ARGUMENTS...
  local name=$1 memory=$2 ssd=$3 dir daemon status=0
  shift 3
  dir=$(mktemp -d "${TMPDIR:-/tmp}/cairn-bench.XXXXXX")
  "$bin/cairnd" --memory "$memory" --ssd-path "$dir/ssd" --ssd "$ssd" \
    --listen-unix "$dir/cairn.sock" --listen-tcp "" --listen-http "" >"$dir/log" 2>&1 &
  daemon=$!
  for _ in $(seq 100); do
    [[ ! -S $dir/cairn.sock ]] || break
    sleep 0.1
  done
  "$bin/cairn-bench" replay --connect "unix:$dir/cairn.sock" "$@" --json >"$out/$name.json" ||
    status=$?
  kill -TERM "$daemon" 2>/dev/null || true
  wait "$daemon" || status=$?
  rm -rf "$dir"
  python3 -m json.tool "$out/$name.json"
  return "$status"
}

trace() {
  local real=../shared/traces/$1.public.jsonl.gz
  if [[ -f $real ]]; then
    echo "$real"
    return
  fi
  warn "$real is absent; a generated trace stands in for it" >&2
  "$bin/cairn-bench" generate --scenario mixed --requests 3000 --seed 1 \
    --out "$out/generated.jsonl.gz" >&2
  echo "$out/generated.jsonl.gz"
}

measure() {
  step "bench $1"
  case $1 in
    get) both get get ;;
    stream) both stream get --plane stream ;;
    put) both put put ;;
    match) both match match ;;
    ssd) both ssd ssd ;;
    redis) both redis redis ;;
    replay)
      with_daemon replay 256MiB 2GiB --trace "$(trace taubench)" --model qwen3.5-27b \
        --bytes-scale 0.002 --clients 4
      ;;
    rss)
      with_daemon rss 64MiB 640MiB --trace "$(trace taubench)" --model qwen3.5-27b \
        --bytes-scale 0.002 --clients 4
      python3 - "$out/rss.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
limit = r["cap_bytes"] + (64 << 20) + r.get("index_bytes", 0)
print("peak %.1f MiB, limit %.1f MiB (cap + 64 MiB + index), stored %.1f times the cap: %s" % (
    r["peak_rss_bytes"] / 2**20, limit / 2**20, r["bytes_stored"] / r["cap_bytes"],
    "held" if r["peak_rss_bytes"] <= limit else "EXCEEDED"))
PY
      ;;
    micro)
      for program in "$bin"/bench/*_bench; do
        note "$program"
        "$program" --benchmark_out="$out/$(basename "$program").json" \
          --benchmark_out_format=json
      done
      ;;
  esac
}

name=${1:-}
mkdir -p "$out"
case " $names all " in
  *" $name "*) ;;
  *)
    usage
    [[ -z $name ]] && exit 0
    die "there is no benchmark '$name'"
    ;;
esac
[[ -n $name ]] || { usage && exit; }
if [[ $name == all ]]; then
  for each in $names; do
    measure "$each"
  done
else
  measure "$name"
fi
finish "Done. Figures mean little on a busy machine: load now is $(cut -d' ' -f1 /proc/loadavg)."

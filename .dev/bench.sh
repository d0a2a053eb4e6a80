#!/usr/bin/env bash
# Measures what docs/benchmarks.md reports. `./dev bench [NAME]` calls it after the build; without a
# name it lists the names. BIN is where the programs are; figures go to build/bench/NAME.json,
# instructions to a text.
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
source .dev/lib.sh

BIN=${BIN:-build/release/bin}
OUT=${OUT:-build/bench}
TRACES=${CAIRN_TRACES:-../shared/traces}
NAMES=(get put match ssd redis stream tls ucx busy replay rss llama placement ablation union cluster sim kernels micro instructions)

list() {
  cat <<'TEXT'
Usage: ./dev bench NAME

  get      reading objects through shared memory, against memcpy
  put      writing objects through shared memory, against memcpy
  match    the daemon's CPU time per match
  ssd      reading objects from SSD, against a plain file (writes 2.5 GiB below $TMPDIR)
  redis    reading objects, against redis-server
  stream   reading and writing objects over loopback TCP, against plain sockets and iperf3
  tls      the same with TLS, against OpenSSL alone
  ucx      reading and writing objects by UCX, against ucx_perftest; the idle daemon
  busy     the stream plane while each core has another program to run, against the same without
  replay   traces through a daemon with SSD: share of prefill saved, latencies, write amplification
  rss      peak memory of a daemon at ten times its cap
  llama    llama.cpp with and without the cache, for each kind of model (ROUNDS=2, MODELS=...)
  placement  share of the prompts served in equal memory by all strategies (cairn-sim; 8 min)
  ablation what placement, admission, eviction and statistics contribute to that (3 min)
  union    tokens recomputed per request in a shared number of checkpoints (cairn-sim; 5 min)
  cluster  three daemons against one with the same memory: tokens served, bytes each (cairn-sim; 5 min),
           and how long a match takes (real ones, in turn; ROUNDS=5)
  sim      a million made-up requests through cairn-sim on one core: time and memory
  kernels  the CPU half of kernels/ on one core (./dev bench --gpu: the other half)
  micro    parts of the library (Google Benchmark)
  instructions  of the placement, which do not depend on the machine's mood (valgrind; 3 min)
  all      all of these
TEXT
}

DIR='' DAEMON=''
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  stop_spinners
  if [[ -n $DAEMON ]]; then
    kill "$DAEMON" 2>/dev/null || true
    wait "$DAEMON" 2>/dev/null || true
  fi
  [[ -z $DIR ]] || rm -rf "$DIR"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start_daemon() {  # start_daemon FLAG...
  "$BIN/cairnd" --listen-unix "$DIR/cairn.sock" --listen-tcp "" --listen-http "" "$@" \
    >>"$DIR/cairnd.log" 2>&1 &
  DAEMON=$!
  local tries=0
  until [[ -S $DIR/cairn.sock ]]; do
    kill -0 "$DAEMON" 2>/dev/null || die "the daemon did not start: $(tail -n 3 "$DIR/cairnd.log")"
    ((++tries < 200)) || die "the daemon does not listen after 20 s"
    sleep 0.1
  done
}
stop_daemon() {
  kill "$DAEMON"
  wait "$DAEMON" || die "the daemon did not stop in order: $(tail -n 3 "$DIR/cairnd.log")"
  DAEMON=''
}
fresh_dir() {
  [[ -z $DIR ]] || rm -rf "$DIR"
  DIR=$(mktemp -d "${TMPDIR:-/tmp}/cairn-dev-bench.XXXXXX")
}
figure() {  # figure FILE FIELD
  awk -v field="\"$2\":" '$1 == field { sub(/,$/, "", $2); print $2; exit }' "$1"
}
# The traces to replay: real ones where they are, else one that is made up.
traces() {
  local name
  if [[ -d $TRACES ]]; then
    for name in "$@"; do
      [[ ! -r $TRACES/$name.public.jsonl.gz ]] || echo "$TRACES/$name.public.jsonl.gz"
    done
  else
    "$BIN/cairn-bench" generate --scenario mixed --requests 1000 --out "$DIR/mixed.jsonl.gz" --quiet
    echo "$DIR/mixed.jsonl.gz"
  fi
}
replay() {  # replay TRACE NAME FLAG...
  local trace=$1 name=$2
  shift 2
  "$BIN/cairn-bench" replay --trace "$trace" --connect "unix:$DIR/cairn.sock" \
    --model qwen3.5-27b --clients 4 --save "$OUT/$name.json" "$@"
}

bench_replay() {
  local trace name written
  fresh_dir
  for trace in $(traces taubench qmsum mooncake-conv claude-code); do
    name=replay-$(basename "$trace" | cut -d. -f1)
    start_daemon --memory 1GiB --ssd 8GiB --ssd-path "$DIR/ssd"
    replay "$trace" "$name" --bytes-scale 0.002 --limit 2000
    stop_daemon
    written=$(figure "$OUT/$name.json" ssd_written_bytes)
    if ((written > 0)); then
      echo "write amplification: $(awk -v d="$(figure "$OUT/$name.json" ssd_device_written_bytes)" \
        -v w="$written" 'BEGIN { printf "%.3f", d / w }')"
    fi
    echo
    rm -rf "$DIR/ssd"
  done
}

# Ten times the cap goes through; the daemon may hold its caps, 64 MiB and the index.
bench_rss() {
  local cap=$((128 << 20)) trace stored peak index limit
  fresh_dir
  trace=$(traces taubench | head -n 1)
  start_daemon --memory $cap --ssd 1GiB --ssd-path "$DIR/ssd"
  replay "$trace" rss --bytes-scale 0.01
  stop_daemon
  stored=$(figure "$OUT/rss.json" bytes_stored)
  peak=$(figure "$OUT/rss.json" peak_rss_bytes)
  index=$(figure "$OUT/rss.json" index_bytes)
  limit=$((cap + (64 << 20) + index))
  printf '\nstored %d times the cap; peak %d MiB, allowed %d MiB (cap %d + 64 + index %d)\n' \
    $((stored / cap)) $((peak >> 20)) $((limit >> 20)) $((cap >> 20)) $((index >> 20))
  ((stored >= 10 * cap)) || die "less than ten times the cap went through"
  ((peak <= limit)) || die "the daemon took more memory than it may"
}

# Each model for itself: a fresh daemon, so that no other's prompts are there.
bench_llama() {
  local models arch
  read -ra models <<<"${MODELS:-qwen35 qwen3next mamba2 falcon-h1 granitehybrid kimi-linear lfm2 llama gemma3}"
  for arch in "${models[@]}"; do
    fresh_dir
    start_daemon --memory 1GiB
    "$BIN/cairn-llama" random-model --arch "$arch" --size medium --out "$DIR/model.gguf"
    # One thread, as in the tests. --swa-full: sliding windows bit for bit (docs/cairn-llama.md).
    "$BIN/cairn-llama" bench --model "$DIR/model.gguf" --cairn "unix:$DIR/cairn.sock" --threads 1 \
      --ubatch 128 --swa-full --rounds "${ROUNDS:-2}" --json >"$OUT/llama-$arch.json" ||
      die "the benchmark of $arch failed" "its figures, as far as they got: $OUT/llama-$arch.json"
    if [[ $arch == "${models[0]}" ]]; then
      printf '%-13s %10s %7s %9s %9s %7s %8s %10s %8s %9s\n' model ckpt/B KV/B cold/ms hit/ms \
        hit/cold miss/% load/memcpy slot/tok slot/ms
    fi
    awk -v model="$arch" '
      { key = $1; gsub(/[":]/, "", key); sub(/,$/, "", $2); v[key] = $2 }
      END {
        printf "%-13s %10d %7d %9.0f %9.0f %7.3f %+8.2f %10.2f %8d %9.0f\n", model,
          v["checkpoint_bytes"], v["kv_bytes_per_token"], v["cold_first_token_ms"],
          v["hit_first_token_ms"], v["hit_ratio"], 100 * v["miss_cost"], v["load_ratio"],
          v["slot_cached_tokens"], v["slot_first_token_ms"]
      }' "$OUT/llama-$arch.json"
    stop_daemon
  done
}

# Shares of the prompts that are served in equal memory. Blocks below a block trace's own are cut as
# if all of one were alike.
PLACEMENT_TRACES=(mooncake-conv mooncake-synth claude-code magentic qmsum narrativeqa-shape
  sysprompt-static sysprompt-rollout miniswe taubench azure-noreuse)
PLACEMENT_ALL=trie,oracle,turn_end,turn_end_demand,branch_backoff:4,branch_backoff:8,block:2048,block:8192,balanced:1,balanced:4,log,hist_exp_decay:1,hist_exp_decay:4,two_sided:2,two_sided:4,marconi,marconi@lru,dense
placement_sweep() {  # placement_sweep NAME BLOCKS STRATEGIES FLAG...: figures to $OUT/NAME.json
  local name=$1 blocks=$2 strategies=$3 list
  shift 3
  fresh_dir
  list=$(traces "${PLACEMENT_TRACES[@]}" | paste -sd,)
  "$BIN/cairn-sim" sweep --jobs "${JOBS:-2}" --traces "$list" --block-tokens "$blocks" \
    --capacities "${CAPACITIES:-16GB,64GB,250GB,1000GB}" --strategies "$strategies" "$@" \
    --json >"$OUT/$name.json"
}
tell_made_up() {
  [[ -d $TRACES ]] || warn "NO TRACES in $TRACES: one that is made up instead"
}
bench_placement() {
  tell_made_up
  placement_sweep placement 512,64 "$PLACEMENT_ALL" --html "$OUT/placement.html"
  python3 .dev/placement_cells.py "$OUT/placement.json" "${PLACEMENT_TRACES[@]}"
  note "Plots: $OUT/placement.html"
}
bench_ablation() {
  local switch
  tell_made_up
  placement_sweep ablation 512 "$PLACEMENT_ALL,trie@lru,turn_end_demand@value,branch_backoff:4@value"
  for switch in --no-admission --no-reuse-statistics --no-distance-statistics --no-write-bound; do
    placement_sweep "ablation$switch" 512 trie "$switch"
  done
  python3 .dev/placement_ablation.py "$OUT" "${PLACEMENT_TRACES[@]}"
}

# KV is free and so are writes: only where states stand counts. M bounds the states of a request.
bench_union() {
  local list most strategies files=()
  fresh_dir
  list=$(traces mooncake-conv mooncake-synth claude-code magentic qmsum narrativeqa-shape \
    sysprompt-static sysprompt-rollout miniswe taubench | paste -sd,)
  [[ -d $TRACES ]] || note "no traces in $TRACES: one that is made up instead"
  for most in 1 2 4 8 16; do
    strategies=trie,branch_backoff:$most,two_sided:$most
    ((most > 1)) || strategies+=,branch_end
    "$BIN/cairn-sim" sweep --jobs "${JOBS:-2}" --traces "$list" --strategies "$strategies" \
      --capacity-checkpoints "${CHECKPOINTS:-200,1000,5000}" --max-plan "$most" --no-write-bound \
      --write-bandwidth "${WRITES:-1000TB/s}" --json >"$OUT/union-$most.json"
    files+=("$most=$OUT/union-$most.json")
  done
  python3 .dev/union_cells.py "${files[@]}"
}

bench_cluster() {
  [[ -d $TRACES ]] || die "there are no traces in $TRACES" "CAIRN_TRACES=FOLDER ./dev bench cluster"
  python3 .dev/cluster_cells.py "$BIN/cairn-sim" "$TRACES" "$OUT/cluster.json"
  bench_cluster_match
}
# Three daemons and one in turn, so that what else the machine does is divided among both.
bench_cluster_match() {
  local round daemons
  fresh_dir
  for ((round = 0; round < ${ROUNDS:-5}; ++round)); do
    for daemons in 3 1; do
      BIN=$BIN CAIRN_TRACES=$TRACES deploy/cluster/up --net unix --clients 1 --planner turn_end_demand \
        --daemons "$daemons" --memory "$((288 / daemons))MiB" --save "$DIR/$daemons.$round.json" \
        >"$DIR/up.log" 2>&1 || die "$(tail -n 3 "$DIR/up.log")"
    done
  done
  python3 .dev/cluster_match.py "$DIR" "$OUT/cluster-match.json"
}

# The limits are those of the design: 60 s of one core and 2 GiB.
bench_sim() {
  local user peak
  [[ -x /usr/bin/time ]] || die "/usr/bin/time is not there" "./dev setup bench"
  /usr/bin/time -f '%U %M' -o "$OUT/sim.time" "$BIN/cairn-sim" run --generate mixed \
    --requests "${REQUESTS:-1000000}" --capacity 250GB --quiet --json >"$OUT/sim.json"
  read -r user peak <"$OUT/sim.time"
  printf '%d requests: %.1f s of CPU, peak %d MiB\n' "${REQUESTS:-1000000}" "$user" $((peak >> 10))
}

# Each instruction set that the machine has, the best one last: its figures are kept.
bench_kernels() {
  local isa best
  best=$("$BIN/kernels/kernels_recurrent_bench" --only lightning | awk '{ print $2; exit }')
  for isa in scalar avx2; do
    [[ $isa == "${best%;}" || ( $best == scalar* && $isa == avx2 ) ]] ||
      CAIRN_KERNELS_ISA=$isa "$BIN/kernels/kernels_recurrent_bench"
  done
  "$BIN/kernels/kernels_recurrent_bench"
  "$BIN/kernels/kernels_recurrent_bench" --json >"$OUT/kernels.json"
}
bench_micro() {
  local program found=0
  for program in "$BIN"/bench/*; do
    [[ -x $program ]] || continue
    found=1
    "$program" --benchmark_out="$OUT/$(basename "$program").json" --benchmark_out_format=json
  done
  ((found)) || note "no programs in $BIN/bench: Google Benchmark is missing (./dev setup test)"
}

count_instructions() {  # count_instructions WHAT PROGRAM FILTER FUNCTION
  local calls total
  valgrind --quiet --tool=callgrind --callgrind-out-file="$DIR/callgrind" --toggle-collect="$4" \
    "$BIN/bench/$2" --benchmark_filter="$3" --benchmark_min_time=0 --benchmark_format=json \
    >"$DIR/calls.json" 2>"$DIR/valgrind.log" || die "$(tail -n 3 "$DIR/valgrind.log")"
  # One call, where the program does not say how many requests there were.
  calls=$(awk '$1 == "\"requests\":" { printf "%d", $2 + 0 }' "$DIR/calls.json")
  total=$(awk '/^(totals|summary):/ { print $2; exit }' "$DIR/callgrind")
  awk -v what="$1" -v total="${total:-0}" -v calls="${calls:-1}" \
    'BEGIN { if (total == 0) exit 1; printf "%-60s %15.0f\n", what, total / calls }' ||
    die "nothing was counted in $4"
}
bench_instructions() {
  [[ -x $(type -P valgrind) ]] || die "valgrind is not there" "./dev setup bench"
  [[ -x $BIN/bench/placement_bench ]] || die "no programs in $BIN/bench" "./dev setup test"
  fresh_dir
  {
    local shape
    for shape in 0 1 2 3 4 5; do
      count_instructions "priced optimum, 1,000,000 nodes, states, shape $shape" placement_bench \
        "states/shape:$shape/nodes:1000000/price:2048\$" 'cairn::TrieSolver::SolveTrie(*'
    done
    count_instructions "priced optimum, 1,000,000 nodes, joint, shape 0" placement_bench \
      'joint/shape:0/nodes:1000000/price:2048$' 'cairn::TrieSolver::SolveJoint(*'
    count_instructions "chain at a price, 131,072 positions" chain_bench \
      'BM_ChainPriced/131072/2/100$' 'cairn::PlacePriced(*'
    count_instructions "a match, 10,000 places: learning from it, ages included" learned_bench \
      'plan_of_a_match/places:10000/ages_apart:0/' 'cairn::LearnedPlacement::Observe(*'
    count_instructions "a match, 10,000 places: learning from it, ages apart" learned_bench \
      'plan_of_a_match/places:10000/ages_apart:1/' 'cairn::LearnedPlacement::Observe(*'
    count_instructions "a match, 10,000 places: its plan" learned_bench \
      'plan_of_a_match/places:10000/ages_apart:1/' 'cairn::LearnedPlacement::Plan(*'
  } | tee "$OUT/instructions.txt"
}

SPINNERS=()
stop_spinners() {
  ((${#SPINNERS[@]})) || return 0
  kill "${SPINNERS[@]}" 2>/dev/null || true
  wait "${SPINNERS[@]}" 2>/dev/null || true
  SPINNERS=()
}
bench_busy() {
  local i sizes=4KiB,1MiB,16MiB
  "$BIN/cairn-bench" get --plane stream --sizes "$sizes" --save "$OUT/busy-without.json"
  for ((i = 0; i < $(nproc); ++i)); do
    (while :; do :; done) &
    SPINNERS+=($!)
  done
  note "$(nproc) programs that spin, from here on"
  "$BIN/cairn-bench" get --plane stream --sizes "$sizes" --save "$OUT/busy-with.json"
  stop_spinners
  python3 - "$OUT" <<'TEXT'
import json, sys

without, busy = (json.load(open(f"{sys.argv[1]}/busy-{name}.json"))["rows"] for name in ("without", "with"))
print("Median GET, busy / without:")
for a, b in zip(without, busy):
    print(f"  {a['object_bytes'] / 1024:6.0f} KiB  {b['get_us']:8.1f} us / {a['get_us']:8.1f} us = {b['get_us'] / a['get_us']:.2f}")
TEXT
}

bench_one() {
  case $1 in
    get | put | match | ssd | redis) "$BIN/cairn-bench" "$1" --save "$OUT/$1.json" ;;
    stream)
      "$BIN/cairn-bench" get --plane stream --save "$OUT/stream-get.json"
      echo
      "$BIN/cairn-bench" put --plane stream --save "$OUT/stream-put.json"
      ;;
    tls)
      "$BIN/cairn-bench" get --plane stream --tls --sizes 4KiB,64KiB,1MiB,16MiB \
        --save "$OUT/tls-get.json"
      echo
      "$BIN/cairn-bench" put --plane stream --tls --sizes 4KiB,64KiB,1MiB,16MiB \
        --save "$OUT/tls-put.json"
      echo
      "$BIN/cairn-bench" get --plane stream --sizes 4KiB,1MiB --save "$OUT/tls-plain-get.json"
      ;;
    ucx)
      "$BIN/cairn-bench" get --plane ucx --save "$OUT/ucx-get.json"
      echo
      "$BIN/cairn-bench" put --plane ucx --save "$OUT/ucx-put.json"
      ;;
    busy | replay | rss | llama | placement | ablation | union | cluster | sim | kernels | micro | instructions) "bench_$1" ;;
  esac
}

name=${1:-}
if [[ -z $name || $name == @(help|-h|--help) ]]; then
  list
  exit 0
fi
[[ $# -eq 1 && " ${NAMES[*]} all " == *" $name "* ]] ||
  die "there is no benchmark '$*'" "./dev bench lists them"
# dev asks before it builds.
[[ -z ${CAIRN_BENCH_CHECK_ONLY:-} ]] || exit 0
[[ -x $BIN/cairn-bench && -x $BIN/cairnd ]] || die "$BIN/cairn-bench is not there" "./dev build"
mkdir -p "$OUT"
[[ $name == all ]] || NAMES=("$name")
for one in "${NAMES[@]}"; do
  step "$one"
  bench_one "$one"
  echo
done
finish "Figures: $OUT"

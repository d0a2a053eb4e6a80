#!/usr/bin/env bash
# The main job from nothing: a daemon, a trace replayed twice with a restart between, the figures;
# then llama.cpp, two processes that share what they computed.
# `./dev demo` calls it after the build. BIN is where the programs are.
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
source .dev/lib.sh

BIN=${BIN:-build/release/bin}
TRACES=${CAIRN_TRACES:-../shared/traces}
MODEL=qwen3.5-27b
# A checkpoint of this model has 154 MB and its KV 64 KiB per token. All sizes times this, so that
# any laptop holds enough of it.
SCALE=0.002
MEMORY=256MiB
SSD=2GiB

for program in cairnd cairn-bench; do
  [[ -x $BIN/$program ]] || die "$BIN/$program is not there" "./dev build"
done

DIR='' DAEMON=''
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [[ -n $DAEMON ]] && kill -0 "$DAEMON" 2>/dev/null; then
    kill "$DAEMON" 2>/dev/null || true
    wait "$DAEMON" 2>/dev/null || true
  fi
  if ((status != 0)) && [[ -n $DIR && -s $DIR/cairnd.log ]]; then
    note "The end of the daemon's log:" >&2
    tail -n 20 "$DIR/cairnd.log" | sed 's/^/         | /' >&2
  fi
  [[ -z $DIR ]] || rm -rf "$DIR"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
DIR=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
SOCKET=$DIR/cairn.sock

start_daemon() {
  "$BIN/cairnd" --memory "$MEMORY" --ssd "$SSD" --ssd-path "$DIR/ssd" --listen-unix "$SOCKET" \
    --listen-tcp "" --listen-http "" >>"$DIR/cairnd.log" 2>&1 &
  DAEMON=$!
  local tries=0
  until [[ -S $SOCKET ]]; do
    kill -0 "$DAEMON" 2>/dev/null || die "the daemon did not start"
    ((++tries < 200)) || die "the daemon does not listen after 20 s"
    sleep 0.1
  done
}
stop_daemon() {
  kill "$DAEMON"
  wait "$DAEMON" || die "the daemon did not stop in order"
  DAEMON=''
}
replay() {  # replay NAME: the table to the screen, the figures to a file
  "$BIN/cairn-bench" replay --trace "$TRACE" --connect "unix:$SOCKET" --model "$MODEL" \
    --bytes-scale "$SCALE" --clients 4 --save "$DIR/$1.json" >"$DIR/$1.txt"
  tail -n +3 "$DIR/$1.txt" | sed 's/^./         &/'
}
figure() {  # figure NAME FIELD: a number out of the figures of a replay
  awk -v field="\"$2\":" '$1 == field { sub(/,$/, "", $2); print $2; exit }' "$DIR/$1.json"
}
percent() {  # percent NAME FIELD: of the prompt tokens
  awk -v part="$(figure "$1" "$2")" -v all="$(figure "$1" prompt_tokens)" \
    'BEGIN { printf "%.1f %%", 100 * part / all }'
}

questions() {  # questions NUMBER...: prompts that begin with the same document
  local document number
  document=$(head -c 1400 README.md | tr -cs 'A-Za-z0-9.,:()-' ' ')
  for number in "$@"; do
    printf '{"id": "question %d", "prompt": "%s Question %d: what would you ask of it?"}\n' \
      "$number" "$document" "$number"
  done
}
ask() {  # ask NAME FLAG...: runs the questions, the table to the screen and to a file
  local name=$1
  shift
  "$BIN/cairn-llama" --model "$DIR/model.gguf" --prompts "$DIR/questions.jsonl" --predict 24 \
    --threads 1 --ubatch 64 --quiet "$@" | tee "$DIR/$name.txt" | sed 's/^./         &/'
  [[ ${PIPESTATUS[0]} -eq 0 ]] || die "cairn-llama failed"
}
outputs() { sed -n '/^question/p' "$DIR/$1.txt" | cut -c 1-12,65-; }
resumed() { awk '/^question/ { sum += $4 } END { print sum + 0 }' "$DIR/$1.txt"; }
# Two processes with one daemon: what the first one computed, the second one resumes from.
llama_demo() {
  if [[ ! -d build/engine/llama.cpp && -z ${CAIRN_LLAMA_LIB:-} ]]; then
    note "llama.cpp is not installed here (./dev setup engine), so this part is left out."
    return
  fi
  step "A real engine: llama.cpp with a random model (Gated DeltaNet and attention), 140 MB"
  "$BIN/cairn-llama" random-model --arch qwen35 --size medium --out "$DIR/model.gguf"
  step "Process 1 asks about a document of 1,400 tokens"
  questions 1 2 >"$DIR/questions.jsonl"
  ask llama1 --cairn "unix:$SOCKET"
  step "Process 2 asks the same and more: it resumes from the first one's checkpoints"
  questions 1 2 3 >"$DIR/questions.jsonl"
  ask llama2 --cairn "unix:$SOCKET"
  step "The same without the cache, to compare"
  ask llama3 --cold
  [[ $(outputs llama2) == "$(outputs llama3)" ]] ||
    die "the outputs with and without the cache differ: this is a defect"
  (($(resumed llama2) > 3000)) || die "the second process resumed next to nothing"
  note "The outputs are equal; the second process was spared $(resumed llama2) tokens of prefill."
}

step "Choosing a trace of requests"
TRACE=''
for name in taubench mooncake-conv claude-code; do
  if [[ -r $TRACES/$name.public.jsonl.gz ]]; then
    TRACE=$TRACES/$name.public.jsonl.gz
    break
  fi
done
if [[ -n $TRACE ]]; then
  note "$TRACE: real requests, as lengths and shared prefixes."
else
  TRACE=$DIR/mixed.jsonl.gz
  note "There is no $TRACES here, so a trace is made up: coding agents, chats, questions on"
  note "documents and prompt templates, with the statistics of public traces (docs/traces.md)."
  "$BIN/cairn-bench" generate --scenario mixed --requests 500 --seed 1 --out "$TRACE" --quiet
fi

step "Starting cairnd with $MEMORY of memory and $SSD of SSD in $DIR"
start_daemon
step "First replay: four engines of $MODEL, every byte that comes back is checked"
replay first

step "Restarting the daemon: memory is gone, the SSD tier stays"
stop_daemon
start_daemon
step "Second replay of the same requests"
replay second
(($(figure second ssd) > 0)) ||
  die "after the restart nothing was served from SSD: the tier lost what the first run stored" \
    "look for what the daemon says of its SSD tier in the log below"

llama_demo
if [[ -x $BIN/cairnctl ]]; then
  step "What the daemon says of itself (cairnctl status)"
  "$BIN/cairnctl" status --connect "unix:$SOCKET" | sed 's/^./         &/'
fi
step "Stopping the daemon"
stop_daemon

finish "Of all prompt tokens, engines were spared the prefill of $(percent first served_tokens) in the \
first run and $(percent second served_tokens) after the restart ($(percent second ssd) from SSD, \
$(percent second host) from memory); wrong bytes: \
$(($(figure first verification_failures) + $(figure second verification_failures)))."

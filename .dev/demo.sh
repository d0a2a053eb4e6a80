#!/usr/bin/env bash
# The main job from nothing: a daemon, a trace replayed twice with a restart between, the figures.
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

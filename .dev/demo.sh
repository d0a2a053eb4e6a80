#!/usr/bin/env bash
# The main job, shown: a daemon, a trace through it, a restart, the same trace from SSD.
source .dev/lib.sh

bin=build/release/bin
dir=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
socket=$dir/cairn.sock
daemon=''

stop_daemon() {
  [[ -n $daemon ]] || return 0
  kill -TERM "$daemon" 2>/dev/null || true
  wait "$daemon" || warn "the daemon ended with an error; its log: $(tail -n 3 "$dir/cairnd.log")"
  daemon=''
}
trap 'stop_daemon; rm -rf "$dir"' EXIT

start_daemon() {
  "$bin/cairnd" --memory 256MiB --ssd-path "$dir/ssd" --ssd 2GiB --listen-unix "$socket" \
    --listen-tcp "" --listen-http "" >>"$dir/cairnd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 100); do
    [[ ! -S $socket ]] || return 0
    kill -0 "$daemon" 2>/dev/null || die "the daemon did not start" "$(tail -n 3 "$dir/cairnd.log")"
    sleep 0.1
  done
  die "the daemon did not open its socket within 10 s" "$(tail -n 3 "$dir/cairnd.log")"
}

replay() {
  "$bin/cairn-bench" replay --trace "$trace" --connect "unix:$socket" --model qwen3.5-27b \
    --bytes-scale 0.002 --clients 4
}

step "Starting cairnd with 256 MiB of memory and 2 GiB of SSD"
start_daemon

trace=../shared/traces/taubench.public.jsonl.gz
if [[ -f $trace ]]; then
  step "Trace: real customer-service dialogues of an agent ($trace)"
else
  trace=$dir/generated.jsonl.gz
  step "Trace: ../shared/traces is not here, so 1,200 requests are generated (seed 1)"
  "$bin/cairn-bench" generate --scenario mixed --requests 1200 --seed 1 --out "$trace"
fi

step "First run: an empty cache. Sizes are those of Qwen3.5-27B times 0.002; every byte is verified"
replay

step "Stopping and starting the daemon: memory is lost, the SSD is not"
stop_daemon
start_daemon

step "Second run: what the first one left on SSD is served from there"
replay

if [[ -x $bin/cairnctl ]]; then
  step "What the daemon says of itself (cairnctl status)"
  "$bin/cairnctl" --connect "unix:$socket" status
fi

step "Stopping the daemon"
stop_daemon
finish "That was the main job: prefixes seen once were not prefilled again, not even after a restart."

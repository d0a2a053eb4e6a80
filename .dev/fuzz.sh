#!/usr/bin/env bash
# fuzz.sh SECONDS [WRAPPER...]: every build/fuzz/bin/fuzz_* for so long, from the seeds in
# tests/fuzz/corpus/<target>. Inputs it finds on the way are kept in build/fuzz/corpus, and an input
# that breaks something in build/fuzz/findings.
source .dev/lib.sh

seconds=$1
shift
wrapper=("$@")
work=$PWD/build/fuzz

fuzz_one() {  # The last line says how it went.
  local binary=$1 name log status=0
  name=$(basename "$binary")
  log=$work/$name.log
  mkdir -p "$work/corpus/$name" "$work/findings"
  local corpora=("$work/corpus/$name") seeds
  for seeds in "tests/fuzz/corpus/$name" "tests/fuzz/corpus/${name#fuzz_}"; do
    [[ ! -d $seeds ]] || corpora+=("$seeds")
  done
  # 512 MiB and 5 s an input: a parser that needs more is a hole, whatever it returns.
  "${wrapper[@]}" "$binary" -max_total_time="$seconds" -rss_limit_mb=512 -timeout=5 \
    -print_final_stats=1 -artifact_prefix="$work/findings/$name-" "${corpora[@]}" \
    >"$log" 2>&1 </dev/null || status=$?
  if ((status == 0)); then
    note "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
    [[ ${#corpora[@]} -gt 1 ]] || warn "$name has no seeds: add some to tests/fuzz/corpus/$name"
  else
    grep -E '^(SUMMARY|.*ERROR:|artifact_prefix|Test unit written)|runtime error' "$log" | head -n 8 || true
    note "$name FAILED; the report is in $log; once more: build/fuzz/bin/$name build/fuzz/findings/$name-..."
  fi
  return "$status"
}

shopt -s nullglob
binaries=()
for file in build/fuzz/bin/fuzz_*; do
  [[ ! -x $file || -d $file ]] || binaries+=("$file")
done
[[ ${#binaries[@]} -gt 0 ]] || die "there is no build/fuzz/bin/fuzz_*" "./dev build fuzz"
note "${#binaries[@]} targets, $JOBS at a time"
bad=0 running=0
for binary in "${binaries[@]}"; do
  if ((running >= JOBS)); then
    wait -n || bad=1
    running=$((running - 1))
  fi
  fuzz_one "$binary" &
  running=$((running + 1))
done
for ((; running > 0; --running)); do
  wait -n || bad=1
done
exit "$bad"

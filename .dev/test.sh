#!/usr/bin/env bash
# All tests from nothing. Each step goes on after a failed one; the table at the end has the verdict.
source .dev/lib.sh

[[ ${1:-} != --gpu ]] || { shift && exec .dev/gpu.sh test "$@"; }

only='' quick=0 fuzz_seconds=20 chaos=0 seeds=1-60
while [[ $# -gt 0 ]]; do
  case $1 in
    --only)
      only=${2:-}
      [[ -n $only ]] || die "--only needs a regular expression" "./dev test --only unit.libcache.base"
      shift
      ;;
    --quick) quick=1 ;;
    --chaos) chaos=1 ;;
    --seeds)
      seeds=${2:-}
      [[ $chaos == 1 && $seeds =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] ||
        die "--seeds needs --chaos before it and numbers or ranges after it" "./dev test --chaos --seeds 7,20-29"
      for range in ${seeds//,/ }; do
        ((10#${range%-*} <= 10#${range#*-})) || die "--seeds: $range is empty" "./dev test --chaos --seeds ${range#*-}-${range%-*}"
      done
      shift
      ;;
    --fuzz-seconds)
      fuzz_seconds=${2:-}
      [[ $fuzz_seconds =~ ^[1-9][0-9]*$ ]] || die "--fuzz-seconds needs a number above 0"
      shift
      ;;
    *) die "test knows no option '$1'" "./dev help" ;;
  esac
  shift
done

# With 32 random bits of address space, the sanitizers of g++ 12 and clang 14 cannot always place
# their shadow memory. Then, where it is allowed, run without randomisation.
steady=()
if (($(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28) > 28)) && setarch -R true 2>/dev/null; then
  steady=(setarch -R)
fi
symbolizer=/usr/bin/llvm-symbolizer-14
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:external_symbolizer_path=$symbolizer
export UBSAN_OPTIONS=print_stacktrace=1:external_symbolizer_path=$symbolizer
# RocksDB and the other packages are not instrumented; without this flag everything they free or
# copy on our behalf is a false report. Races in our own code, coroutines included, are still found.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:external_symbolizer_path=$symbolizer

# What GoogleTest skipped in ctest's last run of PRESET, one line each, with the reason it gave. Not
# by ctest's SKIP_REGULAR_EXPRESSION: a program with a skipped and a failed test would count as
# skipped, and the run as passed.
SKIPPED=()
collect_skipped() {  # collect_skipped PRESET LOG
  local found
  mapfile -t found < <(awk -v preset="$1" '
    /^[0-9]+\/[0-9]+ Testing: / { program = $3 }
    /^\[ RUN      \] / { reason = ""; inside = 0 }
    /^\[  SKIPPED \] .* \([0-9]+ ms\)$/ { print preset ": " program " " $4 reason; inside = 0 }
    inside && NF { reason = reason (reason == "" ? ": " : " ") $0 }
    /^[^ ]+:[0-9]+: Skipped$/ { inside = 1 }' "$2")
  SKIPPED+=("${found[@]}")
}
list_skipped() {
  ((${#SKIPPED[@]})) || return 0
  warn "${#SKIPPED[@]} SKIPPED: what these tests check was NOT checked:"
  local line
  for line in "${SKIPPED[@]}"; do warn "  $line"; done
}
run_ctest() {  # run_ctest PRESET [selection]
  local preset=$1 log=build/$1/Testing/Temporary/LastTest.log status=0
  shift
  rm -f "$log"  # Should ctest not get as far as to write one.
  "${steady[@]}" ctest --test-dir "build/$preset" --output-on-failure -j2 --no-tests=error "$@" ||
    status=$?
  [[ ! -r $log ]] || collect_skipped "$preset" "$log"
  return "$status"
}
build_and() {  # build_and PRESET: its tests make no sense if it does not build.
  run_step "build $1" .dev/build.sh "$1" && return
  skip_step "test $1" skipped
  return 1
}
cheap_checks() {
  local bad=0
  python3 .dev/check_coroutines.py || bad=1
  python3 .dev/check_layers.py || bad=1
  python3 .dev/check_text.py || bad=1
  python3 tests/unit/dev/check_scripts_test.py || bad=1
  format_check || bad=1
  spelling || bad=1
  return $bad
}

# The names of the tests whose name or label matches, as one regular expression for ctest.
matching() {
  ctest --test-dir build/release --show-only=json-v1 | python3 -c '
import json, re, sys

wanted = re.compile(sys.argv[1])
names = []
for test in json.load(sys.stdin)["tests"]:
    labels = [p["value"] for p in test["properties"] if p["name"] == "LABELS"]
    if any(wanted.search(text) for text in [test["name"], *sum(labels, [])]):
        names.append(re.escape(test["name"]))
print("^(" + "|".join(names) + ")$" if names else "")' "$1"
}

# The chart's tests are skipped without their tools, so that nothing fails for want of Go or a network.
helm_tools() {
  [[ -n ${CAIRN_SKIP_SETUP:-} ]] || .dev/helm.sh --check || timeout 600 .dev/setup.sh helm ||
    warn "NOTE: without these tools the tests of the chart will SKIP (./dev setup helm)."
}

# Nothing of this asks for llama.cpp or for traces.
if ((chaos)); then
  .dev/setup.sh build test
  programs=()
  for file in tests/chaos/*_test.cc; do programs+=("chaos.$(basename "$file" _test.cc)"); done
  .dev/build.sh release "${programs[@]}"
  # Keys are in it, so it goes in any case, also if a test is killed.
  folder=$(mktemp -d "${TMPDIR:-/tmp}/cairn-chaos.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 130' INT TERM
  step "Fault schedules, seeds $seeds (6 s each); with them always a machine that vanishes (31 s) and the network itself (3 s)"
  status=0
  TEST_TMPDIR=$folder CAIRN_CHAOS_SEEDS=$seeds run_ctest release -V -R '^chaos\.' || status=$?
  list_skipped
  ((status == 0)) || die "a schedule failed: it stands above, with the command that repeats it"
  finish "The fault schedules passed."
  exit
fi

.dev/setup.sh build test engine
if [[ ! -d ../shared/traces ]]; then
  warn "NOTE: ../shared/traces is not there, so the tests that read or replay real traces will SKIP."
  warn "      No other test needs it. A clone without that folder is complete; it only tests less."
fi

if [[ -n $only ]]; then
  .dev/build.sh release
  step "Tests matching '$only'"
  names=$(matching "$only") || die "'$only' is no regular expression"
  [[ -n $names ]] ||
    die "no test's name or label matches '$only'" "ctest --test-dir build/release -N lists the names"
  [[ $names != *helm* ]] || helm_tools
  status=0
  run_ctest release -R "$names" || status=$?
  list_skipped
  ((status == 0)) || die "a matching test failed"
  finish "The matching tests passed."
  exit
fi

run_step "layers, coroutines, sizes, format, spelling" cheap_checks || true
helm_tools
if build_and release; then
  run_step "test release (all)" run_ctest release || true
fi
# CI ends a run after 60 minutes, with nothing to show for it: what would not end in time is left out
# there, and the table says so. A person's run leaves out nothing.
time_for() {  # time_for STEP MINUTES: there is time for it if no more than MINUTES have passed.
  [[ ${CI:-} == true ]] && (($(elapsed) > $2 * 60)) || return 0
  warn "$1: NOT RUN, since $2 minutes have passed and CI allows 60 in all"
  skip_step "$1" "no time"
  return 1
}
if [[ $quick == 0 ]]; then
  if time_for "asan" 25 && build_and asan; then
    run_step "canary asan" .dev/canary.sh asan "${steady[@]}" || true
    run_step "test asan (unit, property, integration, kernels)" run_ctest asan \
      -L '^(unit|property|integration|kernels)$' || true
  fi
  if time_for "tsan" 37 && build_and tsan; then
    run_step "canary tsan" .dev/canary.sh tsan "${steady[@]}" || true
    run_step "test tsan (unit, integration)" run_ctest tsan \
      -L '^(unit|integration)$' || true
  fi
  if time_for "fuzz" 47 && build_and fuzz; then
    run_step "fuzz, $fuzz_seconds s a target" .dev/fuzz.sh "$fuzz_seconds" "${steady[@]}" || true
  fi
fi

list_skipped
if steps_table; then
  finish "All tests passed in $(duration "$(elapsed)"), ${#SKIPPED[@]} of them skipped."
else
  die "some steps failed (table above)" "./dev test --only NAME repeats one test; under a sanitizer: ctest --test-dir build/asan -R NAME"
fi

# Sourced by dev and by every script beside this one, from the repository root: output, steps, jobs.
# shellcheck shell=bash
set -euo pipefail

# One clock for nested scripts, so that the times at the left add up.
: "${CAIRN_DEV_START:=$(date +%s)}"
export CAIRN_DEV_START

# ccache needs a home; containers sometimes have none.
if [[ -z ${HOME:-} || ! -w ${HOME:-/} ]]; then
  export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache}
fi

# Two checkouts of the same tree share their objects.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR:-1}

if [[ -t 1 && ${CI:-} != true ]]; then LIVE=1; else LIVE=0; fi
if [[ $LIVE == 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' GREEN='' YELLOW='' PLAIN=''
fi

duration() {  # seconds -> "1 min 05 s"
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}
elapsed() { echo $(($(date +%s) - CAIRN_DEV_START)); }
stamp() { printf '[%3d:%02d]' $(($(elapsed) / 60)) $(($(elapsed) % 60)); }
step() { printf '%s %s%s%s\n' "$(stamp)" "$BOLD" "$*" "$PLAIN"; }
note() { printf '         %s\n' "$*"; }
warn() { printf '%s         %s%s\n' "$YELLOW" "$*" "$PLAIN"; }
finish() { printf '%s %s%s%s\n' "$(stamp)" "$GREEN" "$*" "$PLAIN"; }
die() {  # die "what is wrong" ["what to do next"]
  printf '%s %sFailed: %s%s\n' "$(stamp)" "$RED" "$1" "$PLAIN" >&2
  [[ $# -lt 2 ]] || printf '         Next: %s\n' "$2" >&2
  exit 1
}
# A line that the next one replaces on a terminal; in a log, one line in 30 seconds.
LAST_PROGRESS=$SECONDS
progress() {
  if [[ $LIVE == 1 ]]; then
    printf '\r\e[K         %s' "$*"
  elif ((SECONDS - LAST_PROGRESS >= 30)); then
    LAST_PROGRESS=$SECONDS
    note "$*"
  fi
}
progress_end() { [[ $LIVE == 0 ]] || printf '\r\e[K'; }

# quietly LOG WHAT COMMAND...: the command's output goes to LOG, its end is shown if it fails.
quietly() {
  local log=$1 what=$2 pid begin=$SECONDS status=0
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; progress_end; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    progress "$what, $(duration $((SECONDS - begin)))"
    sleep 0.5
  done
  wait "$pid" || status=$?
  trap - INT TERM
  progress_end
  if ((status != 0)); then
    tail -n 30 "$log" | sed 's/^/         | /' >&2
    note "The whole output is in $log" >&2
  fi
  return "$status"
}

# A C++ compiler of this project takes up to 2 GiB (Asio and Protobuf with a sanitizer).
default_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo)
  ((memory >= 1)) || memory=1
  echo $((cores < memory ? cores : memory))
}
: "${JOBS:=$(default_jobs)}"
[[ $JOBS =~ ^[1-9][0-9]*$ ]] || die "JOBS is '$JOBS', which is not a number above 0"
export JOBS

# The C++ files of the project, NUL-separated. Not by git: it refuses a tree owned by somebody else.
cxx_files() {
  local folder folders=()
  for folder in libcache services kernels tests .dev; do
    [[ ! -d $folder ]] || folders+=("$folder")
  done
  find "${folders[@]}" -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' \) -print0 | sort -z
}

# Checks that both lint and test make.
format_check() {
  cxx_files | xargs -0 -r clang-format-14 --dry-run -Werror --ferror-limit=3 || {
    note "./dev fmt mends this"
    return 1
  }
}
spelling() {
  # LICENSE is not ours to spell; golden data is not prose.
  codespell --quiet-level=2 --skip='./build,./.git,./LICENSE,./tests/golden,./tests/fuzz/corpus,*.gz,go.sum' .
}

# run_step NAME COMMAND...: runs it, records result and time, and goes on after a failure.
STEP_NAMES=() STEP_RESULTS=() STEP_SECONDS=()
run_step() {
  local name=$1 begin=$SECONDS result=ok
  shift
  step "$name"
  "$@" || result=FAILED
  [[ $result == ok ]] || printf '%s         %s: FAILED%s\n' "$RED" "$name" "$PLAIN"
  STEP_NAMES+=("$name") STEP_RESULTS+=("$result") STEP_SECONDS+=($((SECONDS - begin)))
  [[ $result == ok ]]
}
skip_step() { STEP_NAMES+=("$1") STEP_RESULTS+=("$2") STEP_SECONDS+=(0); }

# Prints the table of steps; fails if one of them did not end well.
steps_table() {
  local i bad=0 colour
  printf '\n%-44s %-8s %12s\n' step result time
  for i in "${!STEP_NAMES[@]}"; do
    case ${STEP_RESULTS[i]} in
      ok) colour=$GREEN ;;
      'no time') colour=$YELLOW ;;
      *) colour=$RED && bad=1 ;;
    esac
    printf '%-44s %s%-8s%s %12s\n' "${STEP_NAMES[i]}" "$colour" "${STEP_RESULTS[i]}" "$PLAIN" \
      "$(duration "${STEP_SECONDS[i]}")"
  done
  echo
  return $bad
}

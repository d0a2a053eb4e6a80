#!/usr/bin/env bash
# canary.sh asan|tsan [WRAPPER...]: two programs with planted bugs must fail under the sanitizer that
# the preset really uses, or a silent one would pass every test. The flags are taken from the build.
source .dev/lib.sh

preset=$1
shift
dir=build/$preset
command=$(grep -m1 '"command":.*libcache/base/bytes\.cc' "$dir/compile_commands.json") ||
  die "$dir/compile_commands.json has no line for libcache/base/bytes.cc" "./dev build $preset"
compiler=$(grep -oE '[^" ]*(clang\+\+|g\+\+)[^" ]*' <<<"$command" | head -n1)
mapfile -t flags < <(grep -oE -- '-f(no-)?sanitize[^" ]*' <<<"$command")
[[ ${#flags[@]} -gt 0 ]] || die "preset $preset compiles without any -fsanitize" "look at CAIRN_SANITIZER in cmake/CairnCompiler.cmake"

compile() {
  "$compiler" -std=c++20 -g -O1 -pthread "${flags[@]}" ".dev/canary/$1.cc" -o "$dir/canary_$1"
}
# expect SOURCE BUG REPORT: quiet without the bug, a failure with that very report with it.
expect() {
  local output
  output=$("${wrapper[@]}" "$dir/canary_$1" none 2>&1) ||
    { printf '%s\n' "$output" && die "canary $1 fails without its bug: the sanitizer does not work on this machine"; }
  if output=$("${wrapper[@]}" "$dir/canary_$1" "$2" 2>&1) || ! grep -q "$3" <<<"$output"; then
    printf '%s\n' "$output"
    die "the planted bug '$2' went unnoticed under $preset: its other results mean nothing"
  fi
  note "planted $2: found, as it must be"
}

wrapper=("$@")
case $preset in
  asan)
    compile overflow
    expect overflow heap 'heap-buffer-overflow'
    expect overflow integer 'signed integer overflow'
    ;;
  tsan)
    compile race
    expect race race 'data race'
    ;;
  *) die "there is no canary for '$preset'" ;;
esac

#!/usr/bin/env bash
# build.sh [PRESET] [TARGET...]: configures if need be, builds with progress, prints what failed.
source .dev/lib.sh

preset=${1:-release}
[[ $# -eq 0 ]] || shift
case $preset in
  release | debug | asan | tsan | fuzz) ;;
  *) die "there is no preset '$preset'" "./dev build release|debug|asan|tsan|fuzz" ;;
esac
dir=build/$preset

# A moved or copied checkout keeps absolute paths in its cache, and CMake then refuses it.
if [[ -f $dir/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$dir/CMakeCache.txt"; then
  note "The checkout has moved; starting $dir anew"
  rm -rf "$dir"
fi
if [[ ! -f $dir/build.ninja || CMakePresets.json -nt $dir/build.ninja ]]; then
  step "Configuring $preset"
  quietly "$dir/configure.log" "Configuring" cmake --preset "$preset" ||
    die "CMake could not configure $preset" "./dev setup if a package is missing; ./dev clean to start anew"
fi

# Ninja prints "[3/40] Building ..." for each file, and whatever the compiler says between.
# Shows the former as progress, the latter as it is, less the command lines.
filter() {
  local line skip=0 begin=$SECONDS
  while IFS= read -r line; do
    printf '%s\n' "$line" >&3
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\  ]]; then
      progress "${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} files, $(duration $((SECONDS - begin)))"
    elif [[ $skip == 1 ]]; then
      skip=0
    elif [[ $line != "-- "* && $line != "ninja: "* ]]; then
      [[ $line != FAILED:* ]] || skip=1
      progress_end
      printf '         %s\n' "$line"
    fi
  done
  progress_end
}

begin=$SECONDS
mkdir -p "$dir"
targets=("$@")
if [[ $preset == fuzz && $# -eq 0 ]]; then
  # The tests and programs are of no use without libFuzzer's main loop: build only its targets.
  mapfile -t targets < <(ninja -C "$dir" -t targets all | sed -n 's/^\(bin\/fuzz_[^:]*\): .*/\1/p')
  [[ ${#targets[@]} -gt 0 ]] || die "there is no fuzz target" "look for add_executable(fuzz_...) in tests/"
fi
step "Building $preset (${JOBS} at a time)"
ninja -C "$dir" -j "$JOBS" "${targets[@]}" 2>&1 | filter 3>"$dir/build.log" ||
  die "$preset does not build" "mend the errors above; with full command lines they are in $dir/build.log"
note "Built in $(duration $((SECONDS - begin))); programs are in $dir/bin"

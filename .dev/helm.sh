#!/usr/bin/env bash
# Puts what checks the chart into build/tools: Helm, kubeconform and our checks, built from Go modules
# in exact versions, Kubernetes' JSON schemas, and Debian's promtool. --apiserver: Kubernetes' API server and
# etcd besides (4 to 16 min). --check installs nothing: it fails if something has to be fetched.
# Why these: docs/dependencies.md.
source .dev/lib.sh

DIR=build/tools
CHECKS=tests/helm/checks
APISERVER=tests/helm/apiserver
GO_LEAST=1.26

check=0 apiserver=0
while [[ $# -gt 0 ]]; do
  case $1 in
    --check) check=1 ;;
    --apiserver) apiserver=1 ;;
    *) die "helm knows no option '$1'" ".dev/helm.sh [--apiserver] [--check]" ;;
  esac
  shift
done

# What a part is made of. Its stamp has the digest of that.
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
tools_parts() { digest .dev/helm.sh "$CHECKS"/*.go "$CHECKS"/go.* tests/helm/schemas.py "$APISERVER"/go.mod; }
apiserver_parts() { digest .dev/helm.sh "$APISERVER"/*.go "$APISERVER"/go.*; }
there() { [[ -r $DIR/$1.stamp && $(<"$DIR/$1.stamp") == "$("$1_parts")" ]]; }

if [[ $check == 1 ]]; then
  there tools || exit 1
  [[ $apiserver == 0 ]] || there apiserver || exit 1
  exit
fi

go_is_new() {
  command -v go >/dev/null &&
    [[ $(printf '%s\n' "$GO_LEAST" "$(go env GOVERSION | sed 's/^go//')" | sort -V | head -n 1) == "$GO_LEAST" ]]
}

debian_program() {  # debian_program PACKAGE PROGRAM: one program of a package, which is not installed
  if command -v "$2" >/dev/null; then return; fi
  [[ -n $(command -v apt-get) && -n $(command -v dpkg-deb) ]] ||
    die "$2 is not here, and this is no Debian to take it from" "put $2 into PATH, then ./dev setup helm again"
  rm -rf "$NEW/deb" && mkdir "$NEW/deb"
  # Of a package with a service, nothing may start: it is unpacked, not installed.
  (cd "$NEW/deb" && quietly "$OLDPWD/build/setup-$1.log" "Fetching $1" apt-get download "$1") ||
    die "$1 could not be fetched" "apt-get update, then ./dev setup helm again"
  dpkg-deb -x "$NEW"/deb/*.deb "$NEW/deb/root"
  cp "$NEW/deb/root/usr/bin/$2" "$NEW/bin/"
}

build_go() {  # build_go FOLDER WHAT LDFLAGS PACKAGE...
  local folder=$1 what=$2 flags=$3 out
  shift 3
  out=$(realpath "$NEW/bin")
  # -buildvcs=false: a tree that belongs to somebody else is no error.
  (cd "$folder" && GOFLAGS='-buildvcs=false -mod=readonly' quietly "$OLDPWD/build/setup-$what.log" \
    "Building $what" go build -p "$JOBS" -trimpath -ldflags="-s -w $flags" -o "$out/" "$@") ||
    die "$what could not be built" "mend what the lines above say, then ./dev setup helm again; without it the chart's tests are skipped"
}

schemas() {
  local module
  # go.sum of the same folder vouches for it.
  module=$(cd "$APISERVER" && go mod download -json k8s.io/kubernetes | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ -r $module/api/openapi-spec/swagger.json ]] || die "Kubernetes' sources could not be fetched" "check the network, then ./dev setup helm again"
  python3 -B tests/helm/schemas.py "$module/api/openapi-spec/swagger.json" "$NEW/schemas"
}

begin_part() {
  mkdir -p "$DIR"
  NEW=$(mktemp -d "$DIR/new.XXXXXX")
  trap 'rm -rf "$NEW"' EXIT
  mkdir "$NEW/bin"
}

if ! there tools || { [[ $apiserver == 1 ]] && ! there apiserver; }; then
  go_is_new || die "Go $GO_LEAST is needed to build the chart's tools, and $(go version 2>/dev/null || echo 'no Go') is here" \
    "put go $GO_LEAST or newer into PATH, then ./dev setup helm again; without it the chart's tests are skipped"
fi
if there tools; then
  step "Setup: the chart's tools are there (helm)"
else
  step "Setup: building the chart's tools (helm; 1 to 5 min)"
  begin_part
  build_go "$CHECKS" helm '' helm.sh/helm/v3/cmd/helm github.com/yannh/kubeconform/cmd/kubeconform .
  schemas
  debian_program prometheus promtool
  rm -rf "$DIR/schemas"
  mv "$NEW/schemas" "$DIR/schemas"
  mv -f "$NEW"/bin/* "$DIR/"
  tools_parts >"$DIR/tools.stamp"
  rm -rf "$NEW"
  note "Installed into $DIR."
fi
[[ $apiserver == 1 ]] || exit 0
if there apiserver; then
  step "Setup: Kubernetes' API server is there (apiserver)"
else
  step "Setup: building Kubernetes' API server (apiserver; 4 to 16 min)"
  begin_part
  # Charts ask for the version, which Kubernetes' own build puts in.
  version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$APISERVER/go.mod")
  build_go "$APISERVER" apiserver "-X k8s.io/component-base/version.gitVersion=$version" .
  debian_program etcd-server etcd
  mv -f "$NEW/bin/apiserver" "$DIR/kube-apiserver"
  [[ ! -e $NEW/bin/etcd ]] || mv -f "$NEW/bin/etcd" "$DIR/"
  apiserver_parts >"$DIR/apiserver.stamp"
  rm -rf "$NEW"
  note "Installed into $DIR."
fi

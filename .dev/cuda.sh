#!/usr/bin/env bash
# Puts NVIDIA's CUDA compiler, as the Python registry has it, into build/cuda: for machines whose
# system has none. Needs no network when it is there, and no GPU. --check installs nothing: it fails
# if something has to be fetched. --advice says in a line what is here or how to get it.
source .dev/lib.sh

# Of one toolkit. libcudart and libcudadevrt are in the runtime package.
PACKAGES=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
DIR=build/cuda
HOME_DIR=$DIR/nvidia/cu13

is_there() { [[ -x $HOME_DIR/bin/nvcc && -r $DIR/installed && $(<"$DIR/installed") == "${PACKAGES[*]}" ]]; }

case ${1:-} in
  '') ;;
  --check)
    is_there
    exit
    ;;
  --advice)
    if is_there; then
      note "CUDA: $HOME_DIR/bin/nvcc; the GPU half of kernels/ is built"
    elif nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null); then
      note "CUDA: $nvcc; the GPU half of kernels/ is built"
    else
      note "CUDA: no nvcc, so the GPU half of kernels/ is not built, all else is (./dev setup --cuda installs one)"
    fi
    exit
    ;;
  *) die "cuda knows no option '$1'" ".dev/cuda.sh [--check | --advice]" ;;
esac

if is_there; then
  step "Setup: CUDA 13.0 is there (cuda)"
  exit
fi
[[ $(uname -sm) == "Linux x86_64" ]] ||
  die "the CUDA packages are pinned for x86_64 Linux" "install CUDA 13 yourself and put nvcc into PATH"
python3 -m pip --version >/dev/null 2>&1 ||
  die "Python's pip is not there" "apt-get install python3-pip, then ./dev setup --cuda again"
step "Setup: fetching the CUDA 13.0 compiler (270 MB unpacked) with pip"
mkdir -p build
NEW=$(mktemp -d build/cuda.XXXXXX)
trap 'rm -rf "$NEW"' EXIT
quietly build/setup-cuda.log "Fetching CUDA" \
  python3 -m pip install --disable-pip-version-check --no-deps --only-binary=:all: --target "$NEW" \
  "${PACKAGES[@]}" ||
  die "pip could not fetch CUDA" "mend what the lines above say, then ./dev setup --cuda again"
ln -s lib "$NEW/nvidia/cu13/lib64"  # nvcc looks for its libraries there.
"$NEW/nvidia/cu13/bin/nvcc" --version >/dev/null ||
  die "the compiler that came does not run" "report this with build/setup-cuda.log"
echo "${PACKAGES[*]}" >"$NEW/installed"
rm -rf "$DIR"
mv "$NEW" "$DIR"
trap - EXIT
note "Installed into $HOME_DIR; builds configured from now on find it."

#!/usr/bin/env bash
# gpu.sh test|bench: kernels/ built alone, with CUDA, and run on this machine's GPU. Needs a C++
# compiler, cmake, nvcc and a driver, and nothing else of what setup installs.
source .dev/lib.sh

what=${1:-test}
[[ $# -eq 0 ]] || shift
[[ $what == @(test|bench) ]] || die "gpu knows no '$what'" "./dev test --gpu or ./dev bench --gpu"
[[ $# -eq 0 ]] || die "--gpu takes no further options, '$1' neither" "./dev $what --gpu"
command -v cmake >/dev/null || die "cmake is not there" "install cmake 3.25 or newer and a C++ compiler"

# Only for the GPU that is here: a quarter of the compile time.
architecture=native
nvidia-smi -L >/dev/null 2>&1 ||
  die "no NVIDIA GPU answers here (nvidia-smi -L)" "./dev test --only kernels runs the same device code in an emulator"
dir=build/kernels-gpu
step "Building kernels/ with CUDA"
quietly "$dir/configure.log" "Configuring" cmake -S kernels -B "$dir" -DCAIRN_KERNELS_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture" ||
  die "CMake could not configure kernels/ with CUDA" "./dev setup --cuda installs a compiler"
quietly "$dir/build.log" "Building" cmake --build "$dir" -j "$JOBS" ||
  die "kernels/ does not build with CUDA" "mend the errors above"
if [[ $what == test ]]; then
  step "Tests on the GPU"
  CAIRN_KERNELS_NEED_CUDA=1 ctest --test-dir "$dir" --output-on-failure -j1 --no-tests=error ||
    die "a test failed" "ctest --test-dir $dir -R NAME --output-on-failure"
  finish "All tests passed on the GPU."
else
  for bench in "$dir"/bin/kernels/*; do
    step "$(basename "$bench")"
    "$bench"
  done
fi

// Compiled with -mavx2 (libcache/codec/CMakeLists.txt); called only where the processor has it.
#include "libcache/codec/planes_kernels.h"

namespace cairn::internal {

const PlaneKernels* Avx2PlaneKernels() {
#if defined(__AVX2__)
  return __builtin_cpu_supports("avx2") != 0 ? &kKernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace cairn::internal

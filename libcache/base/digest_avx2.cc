// Compiled with -mavx2 (libcache/base/CMakeLists.txt); called only where the processor has it.
#include "libcache/base/digest_kernels.h"

namespace cairn::internal {

const DigestKernels* Avx2Kernels() {
#if defined(__AVX2__)
  return __builtin_cpu_supports("avx2") != 0 ? &kKernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace cairn::internal

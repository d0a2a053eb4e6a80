#include "kernels/vector/path.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {
namespace {

Path Best() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") != 0) {
    return Path::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    return Path::kAvx2;
  }
#endif
  return Path::kScalar;
}

Path Chosen() {
  const char* named = std::getenv("CAIRN_KERNELS_ISA");
  for (const Path path : {Path::kScalar, Path::kAvx2}) {
    if (named != nullptr && std::string_view(named) == PathName(path)) {
      return std::min(path, Best());
    }
  }
  return Best();
}

}  // namespace

Path CpuPath() {
  static const Path path = Chosen();
  return path;
}

const char* PathName(Path path) {
  switch (path) {
    case Path::kAvx512: return "avx512";
    case Path::kAvx2: return "avx2";
    case Path::kScalar: break;
  }
  return "scalar";
}

}  // namespace cairn::kernels

extern "C" const char* cairn_kernels_cpu_path() {
  return cairn::kernels::PathName(cairn::kernels::CpuPath());
}

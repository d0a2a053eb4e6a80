#include "libcache/codec/planes.h"

#include "libcache/codec/planes_kernels.h"

namespace cairn::internal {

const PlaneKernels& PlainPlaneKernels() { return kKernels; }

const PlaneKernels& BestPlaneKernels() {
  static const PlaneKernels* const best =
      Avx2PlaneKernels() != nullptr ? Avx2PlaneKernels() : &kKernels;
  return *best;
}

}  // namespace cairn::internal

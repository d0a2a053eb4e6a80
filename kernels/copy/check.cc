#include "kernels/copy/check.h"

#include <cstdint>

namespace cairn::kernels {

cairn_kernels_status CheckCopy(const cairn_kernels_copy* args) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || args->reserved != 0) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->count < 0 || args->max_blocks < 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->count == 0) {
    return CAIRN_KERNELS_OK;
  }
  if (args->pieces == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  return reinterpret_cast<std::uintptr_t>(args->pieces) % alignof(cairn_kernels_piece) == 0
             ? CAIRN_KERNELS_OK
             : CAIRN_KERNELS_ALIGNMENT;
}

}  // namespace cairn::kernels

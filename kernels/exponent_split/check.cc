#include "kernels/exponent_split/check.h"

#include <cstdint>

#include "kernels/exponent_split/chunk.h"

namespace cairn::kernels {

cairn_kernels_status CheckExponentSplit(const cairn_kernels_exponent_split* args) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
  if (args->max_blocks < 0 || args->object_bytes < 0 || args->object_bytes > kMostBytes ||
      args->payload_bytes < 0 || args->payload_bytes > 2 * kMostBytes) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->payload == nullptr || (args->object == nullptr && args->object_bytes > 0)) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->payload_bytes < kSplitPrefixBytes + 4 * SplitChunks(args->object_bytes)) {
    return CAIRN_KERNELS_DAMAGED;
  }
  const auto at = reinterpret_cast<std::uintptr_t>(args->payload) |
                  reinterpret_cast<std::uintptr_t>(args->object);
  return at % 4 == 0 ? CAIRN_KERNELS_OK : CAIRN_KERNELS_ALIGNMENT;
}

}  // namespace cairn::kernels

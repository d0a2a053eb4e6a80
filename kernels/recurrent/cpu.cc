#include "kernels/recurrent/cpu.h"

#include <cstdint>

#include "kernels/launch/parts.h"
#include "kernels/recurrent/check.h"
#include "kernels/vector/path.h"

namespace cairn::kernels {
namespace {

AdvanceHead Choose(int key_dim, int rule) {
#if defined(__x86_64__)
  switch (CpuPath()) {
    case Path::kAvx512: return AdvanceHeadAvx512(key_dim, rule);
    case Path::kAvx2: return AdvanceHeadAvx2(key_dim, rule);
    case Path::kScalar: break;
  }
#endif
  return AdvanceHeadScalar(key_dim, rule);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_recurrent_cpu(const cairn_kernels_recurrent* args,
                                                            int32_t part, int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckShapes(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckLists(*args)) {
    return status;
  }
  const AdvanceHead advance = Choose(args->key_dim, args->rule);
  const std::int64_t heads = std::int64_t{args->sequences} * args->value_heads;
  const auto [first, last] = ShareOf(heads, part, parts);
  for (std::int64_t at = first; at < last; ++at) {
    advance(*args, static_cast<int>(at / args->value_heads),
            static_cast<int>(at % args->value_heads));
  }
  return CAIRN_KERNELS_OK;
}

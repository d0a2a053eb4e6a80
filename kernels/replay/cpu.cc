#include "kernels/replay/cpu.h"

#include "kernels/launch/parts.h"
#include "kernels/replay/check.h"
#include "kernels/vector/path.h"

namespace cairn::kernels {
namespace {

RestoreHead Choose() {
#if defined(__x86_64__)
  switch (CpuPath()) {
    case Path::kAvx512: return RestoreHeadAvx512;
    case Path::kAvx2: return RestoreHeadAvx2;
    case Path::kScalar: break;
  }
#endif
  return RestoreHeadScalar;
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_replay_cpu(const cairn_kernels_replay* args,
                                                         int32_t part, int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckReplay(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckReplayLists(*args)) {
    return status;
  }
  const RestoreHead restore_head = Choose();
  const std::int64_t heads = std::int64_t{args->layers} * args->value_heads;
  const std::int64_t all = args->restores * heads;
  const auto [first, last] = ShareOf(all, part, parts);
  for (std::int64_t at = first; at < last; ++at) {
    Restore restore{};
    ReadRestore(*args, static_cast<int>(at / heads), restore);
    if (restore.target >= 0) {
      restore_head(*args, restore, static_cast<int>(at % heads / args->value_heads),
                   static_cast<int>(at % args->value_heads));
    }
  }
  return CAIRN_KERNELS_OK;
}

#include <cstdint>

#include "kernels/conv/check.h"
#include "kernels/conv/window.h"
#include "kernels/launch/parts.h"

namespace cairn::kernels {
namespace {

template <class T>
void Channels(const cairn_kernels_conv& args, std::int64_t first, std::int64_t last) {
  std::int64_t known = -1;
  SequenceLists sequence{};
  for (std::int64_t at = first; at < last; ++at) {
    if (at / args.dim != known) {
      known = at / args.dim;
      ReadLists(args, args.window.slots, static_cast<int>(known), sequence);
    }
    ConvChannel<T>(args, sequence, static_cast<int>(at % args.dim)).Run();
  }
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_conv_cpu(const cairn_kernels_conv* args, int32_t part,
                                                       int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckConv(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckConvLists(*args)) {
    return status;
  }
  const std::int64_t all = std::int64_t{args->sequences} * args->dim;
  const auto [first, last] = ShareOf(all, part, parts);
  args->rows.dtype == CAIRN_KERNELS_F32 ? Channels<std::uint32_t>(*args, first, last)
                                        : Channels<std::uint16_t>(*args, first, last);
  return CAIRN_KERNELS_OK;
}

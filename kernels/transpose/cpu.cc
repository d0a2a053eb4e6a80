#include <algorithm>
#include <cstdint>

#include "kernels/launch/parts.h"
#include "kernels/transpose/check.h"
#include "kernels/transpose/move.h"

namespace cairn::kernels {
namespace {

/// Tile by tile, so that the lines of both sides stay in the first-level cache.
template <class T>
void TransposeHead(const T* from, int rows, int columns, T* to) {
  constexpr int kSide = 32;
  for (int r0 = 0; r0 < rows; r0 += kSide) {
    for (int c0 = 0; c0 < columns; c0 += kSide) {
      for (int r = r0; r < std::min(rows, r0 + kSide); ++r) {
        for (int c = c0; c < std::min(columns, c0 + kSide); ++c) {
          to[std::int64_t{c} * rows + r] = from[std::int64_t{r} * columns + c];
        }
      }
    }
  }
}

template <class T>
void Heads(const cairn_kernels_transpose& args, std::int64_t first, std::int64_t last) {
  const int rows = args.to_key_first != 0 ? args.value_dim : args.key_dim;
  const int columns = args.to_key_first != 0 ? args.key_dim : args.value_dim;
  for (std::int64_t at = first; at < last; ++at) {
    const std::int64_t head = at % args.heads;
    const std::int64_t layer = at / args.heads % args.layers;
    Move move{};
    ReadMove(args, static_cast<int>(at / args.heads / args.layers), move);
    if (move.from >= 0 && move.to >= 0) {
      const std::int64_t head_at = head * rows * columns;
      TransposeHead(
          LayerOf<const T>(args.from, layer) + move.from * args.from.slot_stride + head_at, rows,
          columns, LayerOf<T>(args.to, layer) + move.to * args.to.slot_stride + head_at);
    }
  }
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_transpose_cpu(const cairn_kernels_transpose* args,
                                                            int32_t part, int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckTranspose(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckTransposeLists(*args)) {
    return status;
  }
  const std::int64_t all = std::int64_t{args->count} * args->layers * args->heads;
  const auto [first, last] = ShareOf(all, part, parts);
  args->from.dtype == CAIRN_KERNELS_F32 ? Heads<std::uint32_t>(*args, first, last)
                                        : Heads<std::uint16_t>(*args, first, last);
  return CAIRN_KERNELS_OK;
}

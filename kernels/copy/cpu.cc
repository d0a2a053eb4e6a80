#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/copy/check.h"
#include "kernels/copy/piece.h"
#include "kernels/launch/parts.h"

extern "C" cairn_kernels_status cairn_kernels_copy_cpu(const cairn_kernels_copy* args, int32_t part,
                                                       int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckCopy(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  cairn_kernels_piece piece{};
  for (std::int32_t i = 0; i < args->count; ++i) {
    if (const int error = ReadPiece(*args, i, piece)) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  const auto [first, last] = ShareOf(args->count, part, parts);
  for (std::int64_t i = first; i < last; ++i) {
    ReadPiece(*args, i, piece);
    if (piece.bytes > 0) {
      std::memcpy(piece.target, piece.source, static_cast<std::size_t>(piece.bytes));
    }
  }
  return CAIRN_KERNELS_OK;
}

#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

// What the CPU and the GPU share of the copy.
namespace cairn::kernels {

/// Far more than any memory, and no sum with an address passes 64 bits.
constexpr std::int64_t kMostPieceBytes = std::int64_t{1} << 56;

/// Returns what is wrong with piece i, or CAIRN_KERNELS_OK.
CAIRN_BOTH int ReadPiece(const cairn_kernels_copy& args, std::int64_t i,
                         cairn_kernels_piece& piece) {
  piece = args.pieces[i];
  if (piece.bytes < 0 || piece.bytes > kMostPieceBytes) {
    return CAIRN_KERNELS_SHAPE;
  }
  const bool given = piece.source != nullptr && piece.target != nullptr;
  return given || piece.bytes == 0 ? CAIRN_KERNELS_OK : CAIRN_KERNELS_NULL;
}

}  // namespace cairn::kernels

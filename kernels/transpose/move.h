#pragma once

#include <cstdint>

#include "kernels/launch/layers.h"

// What the CPU and the GPU share of the transpose.
namespace cairn::kernels {

/// From which slot to which; -1 in either: nothing is to be done.
struct Move {
  std::int32_t from;
  std::int32_t to;
};

/// Returns what is wrong with move i, or CAIRN_KERNELS_OK.
CAIRN_BOTH int ReadMove(const cairn_kernels_transpose& args, int i, Move& move) {
  move.from = args.from_slots == nullptr ? i : args.from_slots[i];
  move.to = args.to_slots == nullptr ? i : args.to_slots[i];
  const bool known =
      move.from >= -1 && move.from < args.from.slots && move.to >= -1 && move.to < args.to.slots;
  return known ? CAIRN_KERNELS_OK : CAIRN_KERNELS_SLOTS;
}

}  // namespace cairn::kernels

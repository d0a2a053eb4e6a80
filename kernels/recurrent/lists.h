#pragma once

#include <cstdint>

#include "kernels/cairn_kernels.h"
#include "kernels/simt/device.h"

// The lists of a call as device code reads them: they are device memory, so nobody could check them
// before.
namespace cairn::kernels {

/// What the lists say of one sequence, as the kernel reads them.
struct SequenceLists {
  std::int32_t begin = 0;
  std::int32_t length = 0;
  std::int32_t initial = -1;
  std::int32_t final = -1;
  std::int32_t emit = 0;
  std::int32_t emit_end = 0;
};

CAIRN_DEVICE int ReadLists(const cairn_kernels_recurrent& args, int n, SequenceLists& lists) {
  lists.begin = args.cu_seqlens[n];
  const std::int64_t end = args.cu_seqlens[n + 1];
  if (lists.begin < 0 || end < lists.begin || end > args.tokens) {
    return CAIRN_KERNELS_LENGTHS;
  }
  lists.length = static_cast<std::int32_t>(end - lists.begin);
  lists.initial = args.initial_slots == nullptr ? -1 : args.initial_slots[n];
  lists.final = args.final_slots == nullptr ? -1 : args.final_slots[n];
  if (lists.initial < -1 || lists.final < -1 ||
      (lists.initial >= 0 && lists.initial >= args.state.slots) ||
      (lists.final >= 0 && lists.final >= args.state.slots)) {
    return CAIRN_KERNELS_SLOTS;
  }
  if (args.emit_starts == nullptr) {
    return CAIRN_KERNELS_OK;
  }
  lists.emit = args.emit_starts[n];
  lists.emit_end = args.emit_starts[n + 1];
  if (lists.emit < 0 || lists.emit_end < lists.emit || lists.emit_end > args.emissions) {
    return CAIRN_KERNELS_POSITIONS;
  }
  std::int32_t least = 0;
  for (std::int32_t e = lists.emit; e < lists.emit_end; ++e) {
    if (args.emit_positions[e] < least || args.emit_positions[e] > lists.length) {
      return CAIRN_KERNELS_POSITIONS;
    }
    least = args.emit_positions[e] + 1;
    const std::int32_t slot = args.emit_slots == nullptr ? e : args.emit_slots[e];
    if (slot < 0 || slot >= args.emit.slots) {
      return CAIRN_KERNELS_SLOTS;
    }
  }
  return CAIRN_KERNELS_OK;
}

}  // namespace cairn::kernels

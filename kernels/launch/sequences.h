#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

// The lists of calls that work on sequences, of whatever struct has them. Device code reads them as
// it goes, since nobody could look at them before; the CPU looks at all first.
namespace cairn::kernels {

/// What the lists say of one sequence.
struct SequenceLists {
  std::int64_t begin = 0;
  std::int32_t length = 0;
  std::int32_t initial = -1;
  std::int32_t final = -1;
  std::int32_t emit = 0;
  std::int32_t emit_end = 0;
};

/// Returns what is wrong with sequence n, or CAIRN_KERNELS_OK. `slots`: of the pool that initial
/// and final slots lie in.
template <class Args>
CAIRN_BOTH int ReadLists(const Args& args, std::int32_t slots, int n, SequenceLists& lists) {
  lists.begin = args.cu_seqlens[n];
  const std::int64_t end = args.cu_seqlens[n + 1];
  if (lists.begin < 0 || (n == 0 && lists.begin != 0) || end < lists.begin || end > args.tokens) {
    return CAIRN_KERNELS_LENGTHS;
  }
  lists.length = static_cast<std::int32_t>(end - lists.begin);
  lists.initial = args.initial_slots == nullptr ? -1 : args.initial_slots[n];
  lists.final = args.final_slots == nullptr ? -1 : args.final_slots[n];
  if (lists.initial < -1 || lists.final < -1 || (lists.initial >= 0 && lists.initial >= slots) ||
      (lists.final >= 0 && lists.final >= slots)) {
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

/// No sequence may write what another reads or writes. Quadratic, since nothing may be allocated; a
/// batch of 1,000 takes a millisecond, and its states at least a hundred.
template <class Args>
bool SlotsApart(const Args& args) {
  const std::int32_t* ends = args.final_slots;
  for (int a = 0; a < args.sequences; ++a) {
    for (int b = 0; b < args.sequences && ends[a] >= 0; ++b) {
      const bool read = args.initial_slots != nullptr && args.initial_slots[b] == ends[a];
      if (a != b && (read || ends[b] == ends[a])) {
        return false;
      }
    }
  }
  return true;
}

/// All of it, on the CPU.
template <class Args>
cairn_kernels_status CheckSequences(const Args& args, std::int32_t slots) {
  if (args.cu_seqlens[0] != 0) {
    return CAIRN_KERNELS_LENGTHS;
  }
  for (int n = 0; n < args.sequences; ++n) {
    SequenceLists lists;
    if (const int error = ReadLists(args, slots, n, lists)) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  return args.final_slots == nullptr || SlotsApart(args) ? CAIRN_KERNELS_OK : CAIRN_KERNELS_SLOTS;
}

}  // namespace cairn::kernels

#pragma once

#include "kernels/launch/layers.h"

// What the CPU and the GPU must agree about in a replay.
namespace cairn::kernels {

/// Tokens that are in shared memory at once, and whose decays are folded together.
constexpr int ReplayTokens(int key_dim) { return key_dim == 256 ? 8 : 16; }

/// One restore, as the lists say it.
struct Restore {
  std::int64_t first_token;
  std::int32_t tokens;
  std::int32_t base;
  std::int32_t target;
};

/// Returns what is wrong with restore r, or CAIRN_KERNELS_OK.
CAIRN_BOTH int ReadRestore(const cairn_kernels_replay& args, int r, Restore& restore) {
  const std::int32_t n = args.restore_sequences == nullptr ? r : args.restore_sequences[r];
  if (n < 0 || n >= args.sequences) {
    return CAIRN_KERNELS_POSITIONS;
  }
  const std::int64_t begin = args.cu_seqlens[n];
  const std::int64_t end = args.cu_seqlens[n + 1];
  if (begin < 0 || end < begin || end > args.tokens) {
    return CAIRN_KERNELS_LENGTHS;
  }
  restore.first_token = begin;
  restore.tokens = args.positions[r];
  if (restore.tokens < 0 || restore.tokens > end - begin) {
    return CAIRN_KERNELS_POSITIONS;
  }
  restore.base = args.base_slots == nullptr ? -1 : args.base_slots[r];
  restore.target = args.target_slots[r];
  if (restore.base < -1 || (restore.base >= 0 && restore.base >= args.base.slots) ||
      restore.target < -1 || restore.target >= args.target.slots) {
    return CAIRN_KERNELS_SLOTS;
  }
  return CAIRN_KERNELS_OK;
}

/// A row of a layer's log.
CAIRN_BOTH const float* LogRow(const cairn_kernels_rows& rows, std::int64_t layer_stride,
                               std::int64_t layer, std::int64_t token, std::int64_t head) {
  return static_cast<const float*>(rows.data) + layer * layer_stride + token * rows.token_stride +
         head * rows.head_stride;
}

}  // namespace cairn::kernels

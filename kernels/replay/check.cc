#include "kernels/replay/check.h"

#include <cstdint>

#include "kernels/recurrent/rule.h"
#include "kernels/replay/restore.h"

namespace cairn::kernels {
namespace {

constexpr int kAlignment = 16;

cairn_kernels_status CheckLogRows(const cairn_kernels_rows& rows, std::int64_t layer_stride,
                                  int alignment) {
  if (rows.data == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (rows.dtype != CAIRN_KERNELS_F32) {
    return CAIRN_KERNELS_DTYPE;
  }
  if (rows.token_stride < 0 || rows.head_stride < 0 || layer_stride < 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  const std::int64_t step = alignment / static_cast<int>(sizeof(float));
  return Aligned(rows.data, alignment) && rows.token_stride % step == 0 &&
                 rows.head_stride % step == 0 && layer_stride % step == 0
             ? CAIRN_KERNELS_OK
             : CAIRN_KERNELS_ALIGNMENT;
}

cairn_kernels_status CheckLog(const cairn_kernels_replay& args) {
  if (args.tokens == 0) {
    return CAIRN_KERNELS_OK;  // No row is read.
  }
  if (const auto status = CheckLogRows(args.key, args.key_layer_stride, kAlignment)) {
    return status;
  }
  if (const auto status = CheckLogRows(args.value, args.value_layer_stride, kAlignment)) {
    return status;
  }
  return CheckLogRows(args.gate, args.gate_layer_stride,
                      TraitsOf(args.rule).channel ? kAlignment : 4);
}

cairn_kernels_status CheckStates(const cairn_kernels_layer_pool& pool, std::int64_t slot) {
  if (pool.dtype != CAIRN_KERNELS_F32) {
    return CAIRN_KERNELS_DTYPE;
  }
  return CheckLayerPool(pool, slot, sizeof(float), kAlignment);
}

}  // namespace

cairn_kernels_status CheckReplay(const cairn_kernels_replay* args) {
  if (args == nullptr || args->cu_seqlens == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || args->rule < CAIRN_KERNELS_GATED_DELTA ||
      args->rule > CAIRN_KERNELS_LIGHTNING ||
      (args->mode != CAIRN_KERNELS_REPLAY_EXACT && args->mode != CAIRN_KERNELS_REPLAY_FOLDED)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->layers <= 0 || args->sequences < 0 || args->restores < 0 || args->tokens < 0 ||
      args->tokens > INT32_MAX - 64 || args->key_heads <= 0 || args->value_heads <= 0 ||
      (args->key_dim != 64 && args->key_dim != 128 && args->key_dim != 256) ||
      args->value_dim <= 0 || args->value_dim > 256 || args->value_dim % 16 != 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->value_heads % args->key_heads != 0) {
    return CAIRN_KERNELS_HEADS;
  }
  if (args->restores == 0) {
    return CAIRN_KERNELS_OK;
  }
  if (args->positions == nullptr || args->target_slots == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (const auto status = CheckLog(*args)) {
    return status;
  }
  const std::int64_t slot = std::int64_t{args->value_heads} * args->value_dim * args->key_dim;
  if (args->base_slots != nullptr) {
    if (const auto status = CheckStates(args->base, slot)) {
      return status;
    }
  }
  return CheckStates(args->target, slot);
}

namespace {

/// No restore may write what another one reads or writes. Quadratic, as nothing may be allocated.
bool TargetsApart(const cairn_kernels_replay& args) {
  const bool same = args.base_slots != nullptr && SamePool(args.base, args.target);
  for (int a = 0; a < args.restores; ++a) {
    const std::int32_t target = args.target_slots[a];
    for (int b = 0; b < args.restores && target >= 0; ++b) {
      const bool read = same && args.target_slots[b] >= 0 && args.base_slots[b] == target;
      if (a != b && (read || args.target_slots[b] == target)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

cairn_kernels_status CheckReplayLists(const cairn_kernels_replay& args) {
  if (args.restores == 0) {
    return CAIRN_KERNELS_OK;
  }
  for (int r = 0; r < args.restores; ++r) {
    Restore restore{};
    if (const int error = ReadRestore(args, r, restore)) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  for (int layer = 0; layer < args.layers; ++layer) {
    int error = LayerError(args.target, layer, kAlignment);
    if (error == CAIRN_KERNELS_OK && args.base_slots != nullptr) {
      error = LayerError(args.base, layer, kAlignment);
    }
    if (error != CAIRN_KERNELS_OK) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  return TargetsApart(args) ? CAIRN_KERNELS_OK : CAIRN_KERNELS_SLOTS;
}

}  // namespace cairn::kernels

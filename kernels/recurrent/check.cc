#include "kernels/recurrent/check.h"

#include <cstdint>

#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"

namespace cairn::kernels {
namespace {

// Positions are 32-bit numbers that run up to a stage of tokens past the end.
constexpr std::int64_t kMostTokens = INT32_MAX - 4096;

bool Element(int dtype) {
  return dtype == CAIRN_KERNELS_F32 || dtype == CAIRN_KERNELS_BF16 || dtype == CAIRN_KERNELS_F16;
}

/// Rows that are read or written; `needed` ones must be there.
cairn_kernels_status CheckRows(const cairn_kernels_rows& rows, bool needed, bool only_f32) {
  if (rows.data == nullptr) {
    return needed ? CAIRN_KERNELS_NULL : CAIRN_KERNELS_OK;
  }
  if (only_f32 ? rows.dtype != CAIRN_KERNELS_F32 : !Element(rows.dtype)) {
    return CAIRN_KERNELS_DTYPE;
  }
  return rows.token_stride < 0 || rows.head_stride < 0 ? CAIRN_KERNELS_SHAPE : CAIRN_KERNELS_OK;
}

cairn_kernels_status CheckPool(const cairn_kernels_pool& pool, std::int64_t slot_elements) {
  if (pool.data == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  return pool.slots <= 0 || pool.slot_stride < slot_elements ? CAIRN_KERNELS_SHAPE
                                                             : CAIRN_KERNELS_OK;
}

/// Written rows whose heads or tokens lie on each other would overwrite each other.
bool Apart(const cairn_kernels_rows& rows, std::int64_t tokens, int heads, int width) {
  return (heads == 1 || rows.head_stride >= width) && (tokens <= 1 || rows.token_stride >= width);
}

cairn_kernels_status CheckLog(const cairn_kernels_recurrent& args) {
  const cairn_kernels_rows* all[] = {&args.log_key, &args.log_value, &args.log_gate};
  const int gate = TraitsOf(args.rule).channel ? args.key_dim : 1;
  const int widths[] = {args.key_dim, args.value_dim, gate};
  const int heads[] = {args.key_heads, args.value_heads, args.value_heads};
  const bool needed = args.log_key.data != nullptr || args.log_value.data != nullptr ||
                      args.log_gate.data != nullptr;
  for (int i = 0; needed && i < 3; ++i) {
    if (const auto status = CheckRows(*all[i], true, true)) {
      return status;
    }
    if (!Apart(*all[i], args.tokens, heads[i], widths[i])) {
      return CAIRN_KERNELS_SHAPE;
    }
  }
  return CAIRN_KERNELS_OK;
}

cairn_kernels_status CheckAllRows(const cairn_kernels_recurrent& args) {
  const bool output = args.output.data != nullptr;
  const bool any = args.tokens > 0;  // Without tokens no row is read.
  const struct {
    const cairn_kernels_rows& rows;
    bool needed;
    bool only_f32;
  } all[] = {
      {args.key, any, false},      {args.value, any, false}, {args.query, any && output, false},
      {args.output, false, false}, {args.gate, any, true},   {args.beta, false, true}};
  for (const auto& each : all) {
    if (const auto status = CheckRows(each.rows, each.needed, each.only_f32)) {
      return status;
    }
  }
  return output && !Apart(args.output, args.tokens, args.value_heads, args.value_dim)
             ? CAIRN_KERNELS_SHAPE
             : CheckLog(args);
}

}  // namespace

cairn_kernels_status CheckShapes(const cairn_kernels_recurrent* args) {
  if (args == nullptr || args->cu_seqlens == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || args->reserved != 0 ||
      args->rule < CAIRN_KERNELS_GATED_DELTA || args->rule > CAIRN_KERNELS_LIGHTNING ||
      (args->gate_kind != CAIRN_KERNELS_GATE_LOG && args->gate_kind != CAIRN_KERNELS_GATE_FACTOR) ||
      (args->normalize != 0 && args->normalize != 1) ||
      (args->skip != nullptr && TraitsOf(args->rule).delta)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->sequences < 0 || args->tokens < 0 || args->tokens > kMostTokens ||
      args->key_heads <= 0 || args->value_heads <= 0 || args->emissions < 0 ||
      (args->key_dim != 64 && args->key_dim != 128 && args->key_dim != 256) ||
      args->value_dim <= 0 || args->value_dim > 256 || args->value_dim % 16 != 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->value_heads % args->key_heads != 0) {
    return CAIRN_KERNELS_HEADS;
  }
  if (const auto status = CheckAllRows(*args)) {
    return status;
  }
  const std::int64_t slot = std::int64_t{args->value_heads} * args->value_dim * args->key_dim;
  if (args->initial_slots != nullptr || args->final_slots != nullptr) {
    if (const auto status = CheckPool(args->state, slot)) {
      return status;
    }
    if (args->state.dtype != CAIRN_KERNELS_F32) {
      return CAIRN_KERNELS_DTYPE;
    }
  }
  if (args->emit_starts != nullptr && args->emissions > 0) {
    if (args->emit_positions == nullptr) {
      return CAIRN_KERNELS_NULL;
    }
    if (const auto status = CheckPool(args->emit, slot)) {
      return status;
    }
    if (args->emit.dtype != CAIRN_KERNELS_F32 && args->emit.dtype != CAIRN_KERNELS_BF16) {
      return CAIRN_KERNELS_DTYPE;
    }
  }
  return CAIRN_KERNELS_OK;
}

cairn_kernels_status CheckLists(const cairn_kernels_recurrent& args) {
  return CheckSequences(args, args.state.slots);
}

}  // namespace cairn::kernels

#include "kernels/conv/check.h"

#include <cstdint>

#include "kernels/conv/window.h"
#include "kernels/launch/layers.h"

namespace cairn::kernels {
namespace {

int ElementBytes(int dtype) { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }
bool Element(int dtype) {
  return dtype == CAIRN_KERNELS_F32 || dtype == CAIRN_KERNELS_BF16 || dtype == CAIRN_KERNELS_F16;
}

cairn_kernels_status CheckWindows(const cairn_kernels_conv& args,
                                  const cairn_kernels_windows& windows) {
  if (windows.data == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (windows.dtype != args.rows.dtype) {
    return CAIRN_KERNELS_DTYPE;
  }
  // Far more than any memory, and no sum or product below overflows.
  constexpr std::int64_t kMost = std::int64_t{1} << 56;
  if (windows.slots <= 0 || windows.dim_stride <= 0 || windows.row_stride <= 0 ||
      windows.slot_stride <= 0 || windows.dim_stride > kMost / args.dim ||
      windows.row_stride > kMost / args.width || windows.slot_stride > kMost) {
    return CAIRN_KERNELS_SHAPE;
  }
  const std::int64_t across = windows.dim_stride * (args.dim - 1);
  const std::int64_t along = windows.row_stride * (args.width - 2);
  const bool apart =
      args.dim == 1 || args.width == 2 || windows.dim_stride > along || windows.row_stride > across;
  if (!apart || windows.slot_stride <= across + along) {
    return CAIRN_KERNELS_SHAPE;
  }
  return Aligned(windows.data, ElementBytes(windows.dtype)) ? CAIRN_KERNELS_OK
                                                            : CAIRN_KERNELS_ALIGNMENT;
}

cairn_kernels_status CheckRows(const cairn_kernels_rows& rows, bool needed) {
  if (!Element(rows.dtype)) {
    return CAIRN_KERNELS_DTYPE;
  }
  if (rows.data == nullptr) {
    return needed ? CAIRN_KERNELS_NULL : CAIRN_KERNELS_OK;
  }
  if (rows.token_stride < 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  return Aligned(rows.data, ElementBytes(rows.dtype)) ? CAIRN_KERNELS_OK : CAIRN_KERNELS_ALIGNMENT;
}

}  // namespace

cairn_kernels_status CheckConv(const cairn_kernels_conv* args) {
  if (args == nullptr || args->cu_seqlens == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || args->reserved != 0) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->width < 2 || args->width > 8 || args->dim <= 0 || args->sequences < 0 ||
      args->tokens < 0 || args->tokens > INT32_MAX || args->emissions < 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckRows(args->rows, args->tokens > 0)) {
    return status;
  }
  if (args->initial_slots != nullptr || args->final_slots != nullptr) {
    if (const auto status = CheckWindows(*args, args->window)) {
      return status;
    }
  }
  if (args->emit_starts != nullptr && args->emissions > 0) {
    return args->emit_positions == nullptr ? CAIRN_KERNELS_NULL : CheckWindows(*args, args->emit);
  }
  return CAIRN_KERNELS_OK;
}

cairn_kernels_status CheckConvLists(const cairn_kernels_conv& args) {
  return CheckSequences(args, args.window.slots);
}

}  // namespace cairn::kernels

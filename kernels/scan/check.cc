#include "kernels/scan/check.h"

#include <cstdint>

#include "kernels/recurrent/check.h"
#include "kernels/recurrent/rule.h"
#include "kernels/scan/workspace.h"

namespace cairn::kernels {

cairn_kernels_status CheckScanShapes(const cairn_kernels_scan* args, bool workspace) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (const auto status = CheckShapes(&args->of)) {
    return status;
  }
  // It has no per-token log to give either.
  if (TraitsOf(args->of.rule).channel || args->of.gate_kind != CAIRN_KERNELS_GATE_LOG ||
      args->of.log_key.data != nullptr) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->of.key_dim != kScanKey || args->of.value_dim % 32 != 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (!workspace) {
    return CAIRN_KERNELS_OK;
  }
  const std::int64_t bytes = cairn_kernels_scan_workspace(
      args->of.sequences, args->of.tokens, args->of.key_heads, args->of.value_heads,
      args->of.value_dim, args->of.output.data != nullptr ? 1 : 0);
  if (bytes < 0 || args->workspace_bytes < bytes) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->workspace == nullptr) {
    return bytes > 0 ? CAIRN_KERNELS_NULL : CAIRN_KERNELS_OK;
  }
  return reinterpret_cast<std::uintptr_t>(args->workspace) % 16 == 0 ? CAIRN_KERNELS_OK
                                                                     : CAIRN_KERNELS_ALIGNMENT;
}

cairn_kernels_status CheckScanLists(const cairn_kernels_scan& args) {
  for (int n = 0; args.first_position != nullptr && n < args.of.sequences; ++n) {
    if (args.first_position[n] < 0) {
      return CAIRN_KERNELS_POSITIONS;
    }
  }
  return CheckLists(args.of);
}

}  // namespace cairn::kernels

extern "C" int64_t cairn_kernels_scan_workspace(int32_t sequences, int64_t tokens,
                                                int32_t key_heads, int32_t value_heads,
                                                int32_t value_dim, int32_t outputs) {
  using namespace cairn::kernels;
  if (sequences < 0 || tokens < 0 || tokens > INT32_MAX || key_heads <= 0 || value_heads <= 0 ||
      value_heads > 65535 || key_heads > value_heads || value_dim <= 0 || value_dim > 256) {
    return -1;
  }
  return BytesOf(SizesOf(SlotCount(sequences, tokens), key_heads, value_heads, value_dim),
                 outputs != 0);
}

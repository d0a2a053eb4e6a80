#include "kernels/scan/check.h"

#include <cstdint>

#include "kernels/recurrent/check.h"
#include "kernels/recurrent/rule.h"
#include "kernels/scan/workspace.h"

namespace cairn::kernels {
namespace {

/// Chunks times value heads, and emissions times value heads: 2^40 elements of keys of each. Up to
/// there sizes in bytes stay within 64 bits, and the blocks of a launch within 31.
constexpr std::int64_t kMostChunks = (std::int64_t{1} << 40) / (kChunk * kScanKey);

bool Bounded(const cairn_kernels_scan_shape& shape) {
  return SlotCount(shape.sequences, shape.tokens) * shape.value_heads <= kMostChunks &&
         std::int64_t{shape.emissions} * shape.value_heads <= kMostChunks;
}

}  // namespace

cairn_kernels_status CheckScanShapes(const cairn_kernels_scan* args, bool workspace) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (const auto status = CheckShapes(&args->of)) {
    return status;
  }
  if (args->of.log_key.data != nullptr) {  // It has no log of tokens to give.
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->of.key_dim != kScanKey || args->of.value_dim % 32 != 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (!workspace) {
    return CAIRN_KERNELS_OK;
  }
  const cairn_kernels_scan_shape shape = ShapeOf(args->of);
  const std::int64_t bytes = cairn_kernels_scan_workspace(&shape);
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

extern "C" int64_t cairn_kernels_scan_workspace(const cairn_kernels_scan_shape* shape) {
  using namespace cairn::kernels;
  if (shape == nullptr || shape->reserved != 0 || shape->rule < CAIRN_KERNELS_GATED_DELTA ||
      shape->rule > CAIRN_KERNELS_LIGHTNING || shape->sequences < 0 || shape->tokens < 0 ||
      shape->tokens > INT32_MAX || shape->key_heads <= 0 || shape->value_heads <= 0 ||
      shape->value_heads > 65535 || shape->value_heads % shape->key_heads != 0 ||
      shape->value_dim <= 0 || shape->value_dim > 256 || shape->value_dim % 32 != 0 ||
      shape->emissions < 0 || !Bounded(*shape)) {
    return -1;
  }
  return BytesOf(SizesOf(*shape, TraitsOf(shape->rule)));
}

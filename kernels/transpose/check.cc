#include "kernels/transpose/check.h"

#include <cstdint>

#include "kernels/transpose/move.h"

namespace cairn::kernels {
namespace {

constexpr int kAlignment = 16;

bool Dim(int dim) { return dim > 0 && dim <= 1024 && dim % 8 == 0; }

}  // namespace

cairn_kernels_status CheckTranspose(const cairn_kernels_transpose* args) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || args->reserved != 0 ||
      (args->to_key_first != 0 && args->to_key_first != 1)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args->layers <= 0 || args->count < 0 || args->heads <= 0 || !Dim(args->key_dim) ||
      !Dim(args->value_dim)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->count == 0) {
    return CAIRN_KERNELS_OK;
  }
  const int dtype = args->from.dtype;
  if (dtype != args->to.dtype ||
      (dtype != CAIRN_KERNELS_F32 && dtype != CAIRN_KERNELS_BF16 && dtype != CAIRN_KERNELS_F16)) {
    return CAIRN_KERNELS_DTYPE;
  }
  const int bytes = dtype == CAIRN_KERNELS_F32 ? 4 : 2;
  const std::int64_t slot = std::int64_t{args->heads} * args->value_dim * args->key_dim;
  if (const auto status = CheckLayerPool(args->from, slot, bytes, kAlignment)) {
    return status;
  }
  return CheckLayerPool(args->to, slot, bytes, kAlignment);
}

cairn_kernels_status CheckTransposeLists(const cairn_kernels_transpose& args) {
  for (int layer = 0; args.count > 0 && layer < args.layers; ++layer) {
    const int from = LayerError(args.from, layer, kAlignment);
    const int error = from != CAIRN_KERNELS_OK ? from : LayerError(args.to, layer, kAlignment);
    if (error != CAIRN_KERNELS_OK) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  for (int i = 0; i < args.count; ++i) {
    Move move{};
    if (const int error = ReadMove(args, i, move)) {
      return static_cast<cairn_kernels_status>(error);
    }
  }
  // Quadratic, as nothing may be allocated.
  const bool same = SamePool(args.from, args.to);
  for (int a = 0; a < args.count; ++a) {
    Move move{};
    ReadMove(args, a, move);
    for (int b = 0; b < args.count && move.to >= 0 && move.from >= 0; ++b) {
      Move other{};
      ReadMove(args, b, other);
      const bool done = other.to >= 0 && other.from >= 0;
      if (done && ((a != b && other.to == move.to) || (same && other.from == move.to))) {
        return CAIRN_KERNELS_SLOTS;
      }
    }
  }
  return CAIRN_KERNELS_OK;
}

}  // namespace cairn::kernels

#include "kernels/quantise/check.h"

#include <cstdint>

#include "kernels/quantise/layout.h"

namespace cairn::kernels {
namespace {

bool KnownCodec(std::int32_t codec) {
  return codec >= CAIRN_KERNELS_INT8_COLUMN && codec <= CAIRN_KERNELS_KIVI4;
}
bool IsKivi(std::int32_t codec) {
  return codec == CAIRN_KERNELS_KIVI2 || codec == CAIRN_KERNELS_KIVI4;
}
bool KnownType(std::int32_t dtype) {
  return dtype == CAIRN_KERNELS_F32 || dtype == CAIRN_KERNELS_BF16 || dtype == CAIRN_KERNELS_F16;
}

/// Bytes are at most 2^40, so that nothing made of them overflows.
bool Shape(const cairn_kernels_quantise& args) {
  return args.matrices > 0 && args.rows > 0 && args.columns > 0 && args.columns <= 1 << 16 &&
         std::int64_t{args.rows} * args.columns <=
             kMostQuantisedBytes / ElementBytes(args.dtype) / args.matrices;
}

std::int64_t EncodedBytes(const cairn_kernels_quantise& args) {
  return IsKivi(args.codec)
             ? KiviLayout(args, args.rows % kKiviGroup).end
             : 4 * ScaleCount(args) + std::int64_t{args.matrices} * args.rows * args.columns;
}

/// KIVI's length depends on how many rows are kept, which the payload says.
bool Length(const cairn_kernels_quantise& args) {
  if (args.decode == 0) {
    return args.payload_bytes >= EncodedBytes(args);
  }
  return IsKivi(args.codec) || args.payload_bytes == EncodedBytes(args);
}

}  // namespace

cairn_kernels_status CheckQuantise(const cairn_kernels_quantise* args) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (args->struct_bytes != sizeof(*args) || !KnownCodec(args->codec) ||
      (args->decode != 0 && args->decode != 1)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (!KnownType(args->dtype)) {
    return CAIRN_KERNELS_DTYPE;
  }
  if (!Shape(*args) || args->max_blocks < 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->values == nullptr || args->payload == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (!Length(*args)) {
    return args->decode == 0 ? CAIRN_KERNELS_SHAPE : CAIRN_KERNELS_DAMAGED;
  }
  const auto at = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); };
  const bool aligned = at(args->payload) % 4 == 0 &&
                       at(args->values) % static_cast<unsigned>(ElementBytes(args->dtype)) == 0;
  return aligned ? CAIRN_KERNELS_OK : CAIRN_KERNELS_ALIGNMENT;
}

}  // namespace cairn::kernels

extern "C" int64_t cairn_kernels_quantised_bytes(int32_t codec, int32_t dtype, int32_t matrices,
                                                 int32_t rows, int32_t columns) {
  using namespace cairn::kernels;
  cairn_kernels_quantise args{};
  args.codec = codec;
  args.dtype = dtype;
  args.matrices = matrices;
  args.rows = rows;
  args.columns = columns;
  return KnownCodec(codec) && KnownType(dtype) && Shape(args) ? EncodedBytes(args) : -1;
}

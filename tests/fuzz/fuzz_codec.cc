// Frames of codecs, as they come from a disk that may have damaged them. The first byte picks the
// codec, the next eight the shape; the rest is a payload, and is also tried as a whole frame.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cairn_kernels.h"
#include "libcache/base/check.h"
#include "libcache/base/endian.h"
#include "libcache/codec/codec.h"
#include "libcache/codec/rans.h"

namespace {

constexpr std::size_t kMaxObjectBytes = 1 << 18;
constexpr std::size_t kPrefixBytes = 9;

void TryFrame(std::span<const std::byte> frame) {
  const auto header = cairn::ParseCodecFrame(frame);
  if (header && header->raw_bytes <= kMaxObjectBytes) {
    std::vector<std::byte> out(header->raw_bytes);
    static_cast<void>(cairn::Decode(frame, out));
  }
}

/// The twin of the GPU's decoder agrees about what is damaged, and on the bytes of what is not.
void TryKernel(const std::vector<std::byte>& payload, bool decoded,
               const std::vector<std::byte>& out) {
  std::vector<std::byte> object(out.size());
  cairn_kernels_exponent_split args{};
  args.struct_bytes = sizeof(args);
  args.payload = payload.data();
  args.payload_bytes = static_cast<std::int64_t>(payload.size());
  args.object = object.data();
  args.object_bytes = static_cast<std::int64_t>(object.size());
  if (payload.empty() || object.empty()) {
    return;  // No pointers.
  }
  const bool done = cairn_kernels_exponent_split_cpu(&args, 0, 1) == CAIRN_KERNELS_OK;
  CAIRN_CHECK(done == decoded && (!done || object == out));
}

void TryPayload(std::span<const std::byte> data) {
  const auto codecs = cairn::Codecs();
  const auto small = [&](std::size_t at) { return std::to_integer<std::uint32_t>(data[at]); };
  const cairn::Codec& codec = *codecs[small(0) % codecs.size()];
  const cairn::CodecShape shape{.element = static_cast<cairn::Element>(small(1) % 4),
                                .matrices = small(2) % 8,
                                .rows = small(3) | (small(4) & 1U) << 8U,
                                .columns = small(5) | (small(6) & 3U) << 8U};
  // Lossless codecs take any length, so odd ones too.
  const std::uint64_t bytes =
      shape.Bytes() + (codec.fidelity() == cairn::Fidelity::kExact ? small(7) : 0);
  if (bytes > kMaxObjectBytes || !codec.Check(shape, bytes)) {
    return;
  }
  std::vector<std::byte> out(bytes);
  // A copy of its own, so that a read beyond it is seen.
  const std::vector<std::byte> payload(data.begin() + kPrefixBytes, data.end());
  const bool decoded = codec.DecodePayload(shape, payload, out).has_value();
  if (codec.id() == cairn::CodecId::kExponentSplit) {
    TryKernel(payload, decoded, out);
  }
  if (!decoded) {
    return;
  }
  // What decodes can be encoded, and lossless codecs then give it back.
  std::vector<std::byte> frame(cairn::MaxEncodedBytes(codec, shape, bytes).value());
  frame.resize(cairn::Encode(codec, shape, out, frame).value());
  std::vector<std::byte> again(bytes);
  CAIRN_CHECK(cairn::Decode(frame, again).has_value());
  CAIRN_CHECK(codec.fidelity() != cairn::Fidelity::kExact || again == out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  TryFrame(bytes);
  static_cast<void>(cairn::RansModel::Load(bytes));
  if (size >= kPrefixBytes) {
    TryPayload(bytes);
  }
  return 0;
}

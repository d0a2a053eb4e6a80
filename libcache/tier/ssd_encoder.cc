#include "libcache/tier/ssd_encoder.h"

#include "libcache/base/check.h"

namespace cairn {

Result<SsdEncoder::Coded> SsdEncoder::Encode(const ObjectPiece& piece,
                                             std::span<const std::byte> payload) {
  CAIRN_CHECK(payload.size() == piece.bytes && payload.size() <= kSsdChunkBytes);
  Coded coded{.sizes = {.bytes = static_cast<std::uint32_t>(payload.size())},
              .stored = payload,
              .given_back = payload};
  if (piece.codec == nullptr) {
    return coded;
  }
  frame_.resize(MaxEncodedBytes(*piece.codec, piece.shape, payload.size()).value());
  const std::size_t size = cairn::Encode(*piece.codec, piece.shape, payload, frame_).value();
  if (size >= payload.size()) {
    return coded;
  }
  coded.sizes.frame = static_cast<std::uint32_t>(size);
  coded.stored = std::span(frame_).first(size);
  if (piece.codec->fidelity() != Fidelity::kExact) {
    decoded_.resize(payload.size());
    if (const Status decoded = Decode(coded.stored, decoded_); !decoded) {
      return Fail(ErrorCode::kInternal,
                  std::string(piece.codec->name()) + ": " + decoded.error().message);
    }
    coded.given_back = decoded_;
  }
  return coded;
}

}  // namespace cairn

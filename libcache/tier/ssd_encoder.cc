#include "libcache/tier/ssd_encoder.h"

#include "libcache/base/check.h"
#include "libcache/codec/exponent_split.h"

namespace cairn {

bool SsdEncoder::MakeFrame(const Codec& codec, const CodecShape& shape,
                           std::span<const std::byte> payload, Coded& coded) {
  frame_.resize(MaxEncodedBytes(codec, shape, payload.size()).value());
  const std::size_t size = cairn::Encode(codec, shape, payload, frame_).value();
  if (size >= payload.size()) {
    return false;
  }
  coded.sizes.frame = static_cast<std::uint32_t>(size);
  coded.stored = std::span(frame_).first(size);
  return true;
}

Result<SsdEncoder::Coded> SsdEncoder::Encode(const ObjectPiece& piece,
                                             std::span<const std::byte> payload) {
  CAIRN_CHECK(payload.size() == piece.bytes && payload.size() <= kSsdChunkBytes);
  Coded coded{.sizes = {.bytes = static_cast<std::uint32_t>(payload.size())},
              .stored = payload,
              .given_back = payload};
  if (piece.codec == nullptr) {
    return coded;
  }
  const bool lossy = piece.codec->fidelity() != Fidelity::kExact;
  if (!MakeFrame(*piece.codec, piece.shape, payload, coded)) {
    if (lossy) {  // It gains nothing, so nothing need be lost.
      MakeFrame(ExponentSplitCodec(), {}, payload, coded);
    }
    return coded;
  }
  if (lossy) {
    decoded_.resize(payload.size());
    if (const Status decoded = Decode(coded.stored, decoded_); !decoded) {
      return Fail(ErrorCode::kInternal,
                  std::string(piece.codec->name()) + ": " + decoded.error().message);
    }
    coded.given_back = decoded_;
    coded.lossy = true;
  }
  return coded;
}

}  // namespace cairn

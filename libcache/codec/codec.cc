#include "libcache/codec/codec.h"

#include <algorithm>
#include <array>
#include <string>

#include "libcache/base/check.h"
#include "libcache/base/digest.h"
#include "libcache/base/endian.h"
#include "libcache/codec/bf16_round.h"
#include "libcache/codec/cachegen.h"
#include "libcache/codec/exponent_split.h"
#include "libcache/codec/int8_column.h"
#include "libcache/codec/kivi.h"
#include "libcache/codec/row_quant.h"

namespace cairn {
namespace {

constexpr std::uint32_t kMagic = 0x4D465243;  // "CRFM"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kChecksumOffset = 40;

tl::unexpected<Error> Corrupt(const char* what) {
  return Fail(ErrorCode::kCorrupt, std::string("a codec frame ") + what);
}

}  // namespace

std::span<const Codec* const> Codecs() {
  static const std::array<const Codec*, 8> all = {
      &ExponentSplitCodec(), &Int8ColumnCodec(), &Fp8KvCodec(),    &Int8KvCodec(),
      &Kivi2Codec(),         &Kivi4Codec(),      &CacheGenCodec(), &Bf16RoundCodec()};
  return all;
}

const Codec* FindCodec(CodecId id) {
  for (const Codec* codec : Codecs()) {
    if (codec->id() == id) {
      return codec;
    }
  }
  return nullptr;
}

const Codec* FindCodec(std::string_view name) {
  for (const Codec* codec : Codecs()) {
    if (codec->name() == name) {
      return codec;
    }
  }
  return nullptr;
}

std::uint64_t CodecFrameChecksum(std::span<const std::byte> header,
                                 std::span<const std::byte> payload) {
  Digester digester;
  digester.Update(header.first(kChecksumOffset));
  digester.Update(payload);
  return digester.Finish().low;
}

Result<std::uint64_t> MaxEncodedBytes(const Codec& codec, const CodecShape& shape,
                                      std::uint64_t raw_bytes) {
  if (raw_bytes > kMaxCodecBytes) {
    return Fail(ErrorCode::kInvalidArgument, "an object of more than 1 TiB has no codec");
  }
  if (const Status fits = codec.Check(shape, raw_bytes); !fits) {
    return Fail(fits.error());
  }
  return kCodecFrameBytes + codec.MaxPayloadBytes(shape, raw_bytes);
}

Result<std::size_t> Encode(const Codec& codec, const CodecShape& shape,
                           std::span<const std::byte> raw, std::span<std::byte> out) {
  const auto most = MaxEncodedBytes(codec, shape, raw.size());
  if (!most) {
    return Fail(most.error());
  }
  if (out.size() < *most) {
    return Fail(ErrorCode::kInvalidArgument, "the room for a codec frame is too small");
  }
  const std::size_t payload_bytes =
      codec.EncodePayload(shape, raw, out.subspan(kCodecFrameBytes, *most - kCodecFrameBytes));
  CAIRN_CHECK(kCodecFrameBytes + payload_bytes <= *most);
  const std::span<std::byte> header = out.first(kCodecFrameBytes);
  StoreLe(header, 0, kMagic);
  StoreLe(header, 4, kVersion);
  StoreLe(header, 6, static_cast<std::uint16_t>(codec.id()));
  StoreLe(header, 8, static_cast<std::uint32_t>(shape.element));
  StoreLe(header, 12, shape.matrices);
  StoreLe(header, 16, shape.rows);
  StoreLe(header, 20, shape.columns);
  StoreLe(header, 24, std::uint64_t{raw.size()});
  StoreLe(header, 32, std::uint64_t{payload_bytes});
  StoreLe(header, kChecksumOffset,
          CodecFrameChecksum(header, out.subspan(kCodecFrameBytes, payload_bytes)));
  return kCodecFrameBytes + payload_bytes;
}

Result<CodecFrame> ParseCodecFrame(std::span<const std::byte> frame) {
  if (frame.size() < kCodecFrameBytes || LoadLe<std::uint32_t>(frame, 0) != kMagic) {
    return Corrupt("is short or has another magic");
  }
  if (const auto version = LoadLe<std::uint16_t>(frame, 4); version != kVersion) {
    return Fail(ErrorCode::kUnsupported, "a codec frame of version " + std::to_string(version));
  }
  const auto id = LoadLe<std::uint16_t>(frame, 6);
  const auto element = LoadLe<std::uint32_t>(frame, 8);
  if (element > static_cast<std::uint32_t>(Element::kBF16)) {
    return Corrupt("has elements of an unknown type");
  }
  CodecFrame header{.codec = FindCodec(static_cast<CodecId>(id)),
                    .shape = {.element = static_cast<Element>(element),
                              .matrices = LoadLe<std::uint32_t>(frame, 12),
                              .rows = LoadLe<std::uint32_t>(frame, 16),
                              .columns = LoadLe<std::uint32_t>(frame, 20)},
                    .raw_bytes = LoadLe<std::uint64_t>(frame, 24),
                    .payload_bytes = LoadLe<std::uint64_t>(frame, 32),
                    .checksum = LoadLe<std::uint64_t>(frame, kChecksumOffset)};
  if (header.codec == nullptr) {
    return Fail(ErrorCode::kUnsupported, "a frame of the unknown codec " + std::to_string(id));
  }
  if (header.payload_bytes != frame.size() - kCodecFrameBytes ||
      header.raw_bytes > kMaxCodecBytes) {
    return Corrupt("has sizes that disagree");
  }
  if (!header.codec->Check(header.shape, header.raw_bytes)) {
    return Corrupt("has an impossible shape");
  }
  return header;
}

Status Decode(std::span<const std::byte> frame, std::span<std::byte> out) {
  const auto header = ParseCodecFrame(frame);
  if (!header) {
    return Fail(header.error());
  }
  if (header->raw_bytes != out.size()) {
    return Corrupt("is of an object of another size");
  }
  const auto payload = frame.subspan(kCodecFrameBytes);
  if (CodecFrameChecksum(frame.first(kCodecFrameBytes), payload) != header->checksum) {
    return Corrupt("has a wrong checksum");
  }
  return header->codec->DecodePayload(header->shape, payload, out);
}

}  // namespace cairn

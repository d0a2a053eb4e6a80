#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libcache/base/fidelity.h"
#include "libcache/base/result.h"

namespace cairn {

/// Names of codecs. The values are in frames on disk, so they are never renumbered.
enum class CodecId : std::uint16_t {
  kExponentSplit = 1,  ///< Lossless, any bytes: exponent_split.h
  kInt8Column = 2,     ///< int8_column.h
  kFp8Kv = 3,          ///< row_quant.h
  kInt8Kv = 4,         ///< row_quant.h
  kKivi2 = 5,          ///< kivi.h
  kKivi4 = 6,          ///< kivi.h
  kCacheGen = 7,       ///< cachegen.h
  kBf16Round = 8,      ///< bf16_round.h
};

/// Element types, as far as a codec tells them apart. The values are in frames.
enum class Element : std::uint8_t { kBytes = 0, kF32 = 1, kF16 = 2, kBF16 = 3 };

/// Bytes of one element; 1 for kBytes.
constexpr std::size_t ElementBytes(Element element) {
  return element == Element::kF32 ? 4 : element == Element::kBytes ? 1 : 2;
}

/// An object as a codec sees it: `matrices` of `rows` x `columns`, one after the other, row by row.
/// Lossy codecs need all of it; what a row is stands with each. For lossless ones it is a hint, and
/// kBytes says "find out".
struct CodecShape {
  Element element = Element::kBytes;
  std::uint32_t matrices = 1;
  std::uint32_t rows = 1;
  std::uint32_t columns = 0;
  /// Of an object that was cut: its matrices before these and behind them. An encoder may need to
  /// know which layers are early; frames say it in their own way.
  std::uint32_t matrices_before = 0;
  std::uint32_t matrices_behind = 0;

  /// Elements times their size; no overflow for sizes that Codec::Check lets pass.
  [[nodiscard]] std::uint64_t Bytes() const {
    return std::uint64_t{matrices} * rows * columns * ElementBytes(element);
  }
  bool operator==(const CodecShape&) const = default;
};

/// Largest object a codec takes. Sizes within it cannot overflow.
inline constexpr std::uint64_t kMaxCodecBytes = std::uint64_t{1} << 40U;

/// One way to make an object smaller. Stateless, pure, thread-safe: the same bytes give the same
/// frame on every machine and from every instruction set. None allocates more than 16 MiB beside
/// what the caller hands in, whatever a frame claims; but lossy ones copy values that do not
/// begin at a multiple of their size, and payloads that do not at a multiple of 4.
class Codec {
 public:
  virtual ~Codec() = default;
  [[nodiscard]] virtual CodecId id() const = 0;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// What decoding gives back keeps the promise of this fidelity; kExact: the very bytes.
  [[nodiscard]] virtual Fidelity fidelity() const = 0;

  /// Whether an object of this shape and size can be coded. Errors: kInvalidArgument, says why.
  [[nodiscard]] virtual Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const = 0;
  /// Most bytes of a payload; the shape has passed Check.
  [[nodiscard]] virtual std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                                      std::uint64_t raw_bytes) const = 0;
  /// Fills the front of `out`, which has MaxPayloadBytes, and returns how much of it.
  virtual std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                                    std::span<std::byte> out) const = 0;
  /// Fills all of `out`. `payload` may be anything; the shape has passed Check with out.size().
  /// Errors: kCorrupt.
  virtual Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                               std::span<std::byte> out) const = 0;
};

/// All codecs, by id ascending.
std::span<const Codec* const> Codecs();
/// Null for an id or a name that no codec has.
const Codec* FindCodec(CodecId id);
const Codec* FindCodec(std::string_view name);

/// A frame is a header of 48 bytes and a payload; docs/formats/codecs.md. It says all that decoding
/// needs, and has a checksum.
inline constexpr std::size_t kCodecFrameBytes = 48;

struct CodecFrame {
  const Codec* codec = nullptr;
  CodecShape shape;
  std::uint64_t raw_bytes = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t checksum = 0;
};

/// Most bytes of a frame. Errors: kInvalidArgument, from Codec::Check.
Result<std::uint64_t> MaxEncodedBytes(const Codec& codec, const CodecShape& shape,
                                      std::uint64_t raw_bytes);

/// Writes a frame to the front of `out`, which has at least MaxEncodedBytes, and returns its size.
/// Errors: kInvalidArgument, from Codec::Check or if `out` is too small.
Result<std::size_t> Encode(const Codec& codec, const CodecShape& shape,
                           std::span<const std::byte> raw, std::span<std::byte> out);

/// Reads the header of a frame that is all of `frame`. The payload is not touched.
/// Errors: kCorrupt (length, magic, sizes, shape), kUnsupported (a newer version, unknown codec).
Result<CodecFrame> ParseCodecFrame(std::span<const std::byte> frame);

/// Decodes into `out`, whose size must be the frame's raw_bytes.
/// Errors: those of ParseCodecFrame; kCorrupt also for a wrong size, checksum or payload. `out`
/// then holds anything.
Status Decode(std::span<const std::byte> frame, std::span<std::byte> out);

/// For those who make frames by hand: the checksum of a header's first 40 bytes and a payload.
std::uint64_t CodecFrameChecksum(std::span<const std::byte> header,
                                 std::span<const std::byte> payload);

}  // namespace cairn

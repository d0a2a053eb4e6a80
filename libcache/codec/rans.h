#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libcache/base/result.h"

namespace cairn {

/// Entropy coding of bytes by 32 interleaved rANS states (J. Duda, arXiv 1311.2540) with static
/// frequencies of 12 bits. Symbol i belongs to lane i mod 32, so that a warp of a GPU decodes a
/// stream with one state per thread, and a CPU with four vectors of eight.
///
/// Every path (plain C++, AVX2) writes the same bytes. Layout: docs/formats/codecs.md. All of this
/// is pure and thread-safe; encoders and decoders are immutable once made.
inline constexpr std::uint32_t kRansLanes = 32;
inline constexpr std::uint32_t kRansBits = 12;
inline constexpr std::uint32_t kRansTotal = 1U << kRansBits;
/// A state is in [kRansLow, 2^31) between symbols, and at kRansLow before the first to be encoded.
inline constexpr std::uint32_t kRansLow = 1U << 15U;

using RansCounts = std::array<std::uint32_t, 256>;

/// How often each byte occurs.
RansCounts CountBytes(std::span<const std::uint8_t> bytes);

/// Frequencies that add up to kRansTotal; at least two are positive, so each fits 12 bits.
struct RansModel {
  std::array<std::uint16_t, 256> frequency{};

  /// Rounds shares to multiples of 1 / kRansTotal; what occurs keeps at least one. Integers only:
  /// the same counts give the same model everywhere. Counts that are all zero are allowed.
  static RansModel Of(const RansCounts& counts);

  /// Stored: a bitmap of the symbols that occur (32 bytes, bit s of byte s / 8 is bit s mod 8),
  /// then their frequencies as u16 in ascending order of symbols. From 36 to 544 bytes.
  [[nodiscard]] std::size_t StoredBytes() const;
  void Store(std::span<std::byte> out) const;
  /// Reads a model from the front of `bytes`, which StoredBytes then says how much of it was used.
  /// Errors: kCorrupt if it is short, a frequency is not in [1, 4095] or the sum is not 4096.
  static Result<RansModel> Load(std::span<const std::byte> bytes);

  bool operator==(const RansModel&) const = default;
};

/// Most bytes that Encode writes for `symbols` symbols: 32 states, and a word for each symbol.
inline constexpr std::size_t RansMaxBytes(std::size_t symbols) {
  return std::size_t{kRansLanes} * 4 + symbols * 2;
}

/// 2 KiB. Make one per model.
class RansEncoder {
 public:
  explicit RansEncoder(const RansModel& model);

  /// Encodes and returns the bytes written to the front of `out`, which has at least
  /// RansMaxBytes(symbols.size()). Every symbol must have a positive frequency in the model.
  std::size_t Encode(std::span<const std::uint8_t> symbols, std::span<std::byte> out) const;

  /// What a symbol needs: division by its frequency as a product, the rest packed.
  struct Entry {
    std::uint32_t reciprocal = 0;
    std::uint32_t packed = 0;  ///< frequency | start << 12 | shift << 24
  };
  using Table = std::array<Entry, 256>;

 private:
  alignas(64) Table table_{};
};

/// 16 KiB. Make one per model.
class RansDecoder {
 public:
  explicit RansDecoder(const RansModel& model);

  /// Decodes exactly symbols.size() symbols, which must use up all of `stream`.
  /// Errors: kCorrupt if the length is impossible, a state out of range, words are missing or left
  /// over, or the states do not end where encoding began. `symbols` then holds anything.
  Status Decode(std::span<const std::byte> stream, std::span<std::uint8_t> symbols) const;

  /// By slot: symbol | frequency << 8 | (slot - start) << 20.
  using Table = std::array<std::uint32_t, kRansTotal>;

 private:
  alignas(64) Table table_{};
};

}  // namespace cairn

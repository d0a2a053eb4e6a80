#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn {

/// XXH3-128 of an object's bytes. Guards against accidental damage, not against an adversary.
struct Digest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Digest&) const = default;
};

Digest DigestOf(std::span<const std::byte> bytes);

/// Digest of bytes that arrive in pieces. 576 bytes of state, no allocation. Not thread-safe.
class Digester {
 public:
  Digester();
  void Update(std::span<const std::byte> bytes);
  /// Copies `source` to `target` on the way, reading it once (see CopyAndDigest).
  void CopyAndUpdate(std::span<std::byte> target, std::span<const std::byte> source);
  [[nodiscard]] Digest Finish() const;

 private:
  alignas(64) std::byte state_[576];
};

/// Copies `source` to `target` and returns the digest of what was copied, reading the source once:
/// each piece is hashed while it is in the first-level cache, then written past the cache with
/// streaming stores, which spares the target's read-for-ownership. Measured faster than memcpy
/// alone from 64 KiB up (docs/benchmarks.md, "get"). The ranges must not overlap and
/// target.size() >= source.size().
Digest CopyAndDigest(std::span<std::byte> target, std::span<const std::byte> source);

/// Memory in several places that takes one object's bytes, one piece after the other. An engine
/// keeps what one object holds (a block of tokens) apart by layer.
using Pieces = std::span<const std::span<std::byte>>;

std::size_t TotalBytes(Pieces pieces);

/// The same into pieces that together take at least source.size() bytes.
Digest CopyAndDigest(Pieces target, std::span<const std::byte> source);

}  // namespace cairn

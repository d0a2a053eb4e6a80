#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "libcache/base/bytes.h"

namespace cairn {

/// 32-byte chained hash of all tokens up to a position, seeded by the namespace (model/prefix_key.h
/// computes them). Equal keys mean equal prefixes in one namespace: a collision breaks SHA-256.
struct PrefixKey {
  static constexpr std::size_t kBytes = 32;
  std::array<std::byte, kBytes> bytes{};

  auto operator<=>(const PrefixKey&) const = default;
  /// The key is uniform, so its first word is a hash of it.
  [[nodiscard]] std::uint64_t Word() const {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    return word;
  }
  /// Takes over a message's field; false for another length than kBytes.
  [[nodiscard]] bool Assign(std::string_view field) {
    if (field.size() != kBytes) {
      return false;
    }
    std::memcpy(bytes.data(), field.data(), kBytes);
    return true;
  }
  [[nodiscard]] std::string Hex() const { return ToHex(bytes); }
};

struct PrefixKeyHash {
  std::size_t operator()(const PrefixKey& key) const { return key.Word(); }
};

/// What one stored object holds.
enum class ObjectKind : std::uint8_t {
  kKv = 0,          ///< Attention KV of one block, or of the tokens of a tail.
  kCheckpoint = 1,  ///< Recurrent state and conv window of all recurrent layers at one position.
};

}  // namespace cairn

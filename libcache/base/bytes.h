#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "libcache/base/result.h"

namespace cairn {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

inline constexpr std::uint64_t RoundUp(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Reads "4096", "64KiB", "1.5 GiB", "500GB" (KB, MB, GB, TB are powers of 1000, KiB.. of 1024; a
/// bare K, M, G, T is of 1024). Errors: kInvalidArgument, the message quotes the text.
Result<std::uint64_t> ParseBytes(std::string_view text);

/// "1.5 GiB", "512 B"; three significant digits.
std::string FormatBytes(std::uint64_t bytes);

std::string ToHex(std::span<const std::byte> bytes);
/// Errors: kInvalidArgument on an odd length or a character that is not a hex digit.
Result<std::string> FromHex(std::string_view hex);

}  // namespace cairn

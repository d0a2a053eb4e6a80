#include "libcache/base/bytes.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace cairn {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr double kK = 1024.0;
constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"k", kK},
                                          {"kib", kK},
                                          {"kb", 1e3},
                                          {"m", kK* kK},
                                          {"mib", kK* kK},
                                          {"mb", 1e6},
                                          {"g", kK* kK* kK},
                                          {"gib", kK* kK* kK},
                                          {"gb", 1e9},
                                          {"t", kK* kK* kK* kK},
                                          {"tib", kK* kK* kK* kK},
                                          {"tb", 1e12}}};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

}  // namespace

Result<std::uint64_t> ParseBytes(std::string_view text) {
  const auto bad = [&] {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + std::string(text) + "' is not a size; write for example 512MiB or 4GiB");
  };
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) {
    return bad();
  }
  std::string unit;
  for (const char* c = end; c != text.data() + text.size(); ++c) {
    if (*c != ' ') {
      unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(*c))));
    }
  }
  for (const Unit& known : kUnits) {
    if (known.name == unit) {
      const double bytes = std::round(number * known.factor);
      if (bytes >= 9.2e18) {
        return bad();
      }
      return static_cast<std::uint64_t>(bytes);
    }
  }
  return bad();
}

std::string FormatBytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> kNames = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  const int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, kNames.at(unit));
  return text.data();
}

std::string ToHex(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    hex.push_back(kDigits[std::to_integer<std::size_t>(b >> 4)]);
    hex.push_back(kDigits[std::to_integer<std::size_t>(b & std::byte{15})]);
  }
  return hex;
}

Result<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) {
    return Fail(ErrorCode::kInvalidArgument, "hex text has an odd number of digits");
  }
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]);
    const int low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "'" + std::string(hex.substr(i, 2)) + "' is not hexadecimal");
    }
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

}  // namespace cairn

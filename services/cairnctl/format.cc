#include "services/cairnctl/format.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace cairn::ctl {
namespace {

constexpr std::size_t kShortDigits = 12;
constexpr std::uint64_t kMinute = 60;
constexpr std::uint64_t kHour = 60 * kMinute;
constexpr std::uint64_t kDay = 24 * kHour;

std::string Two(std::uint64_t seconds, std::uint64_t large, const char* large_name,
                std::uint64_t small, const char* small_name) {
  return std::to_string(seconds / large) + " " + large_name + " " +
         std::to_string(seconds % large / small) + " " + small_name;
}

unsigned char At(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// Bytes of the UTF-8 sequence at `i`; 0 if there is no valid one. Overlong forms of ASCII count
/// as valid only where they cannot hide a control character: two bytes begin at 0xC2. 0xC2 0x80 to
/// 0xC2 0x9F are control characters of their own.
std::size_t SequenceAt(std::string_view text, std::size_t i) {
  const unsigned char first = At(text, i);
  if (first < 0x80) {
    return first >= 0x20 && first != 0x7F ? 1 : 0;
  }
  const std::size_t size = first >= 0xF0 && first < 0xF5   ? 4
                           : first >= 0xE0 && first < 0xF0 ? 3
                           : first >= 0xC2 && first < 0xE0 ? 2
                                                           : 0;
  if (size == 0 || i + size > text.size()) {
    return 0;
  }
  for (std::size_t k = 1; k < size; ++k) {
    if ((At(text, i + k) & 0xC0U) != 0x80) {
      return 0;
    }
  }
  const unsigned char second = At(text, i + 1);
  const bool control = first == 0xC2 && second < 0xA0;
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  return control || overlong ? 0 : size;
}

}  // namespace

std::string FormatCount(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3; at -= 3) {
    text.insert(at - 3, 1, ',');
  }
  return text;
}

std::string FormatCount(std::uint64_t count, std::string_view noun) {
  return FormatCount(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string FormatSeconds(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::max(seconds, 0.0));
  if (whole >= kDay) {
    return Two(whole, kDay, "d", kHour, "h");
  }
  if (whole >= kHour) {
    return Two(whole, kHour, "h", kMinute, "min");
  }
  if (whole >= kMinute) {
    return Two(whole, kMinute, "min", 1, "s");
  }
  return std::to_string(whole) + " s";
}

std::string FormatShare(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) {
    return "-";
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%",
                100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text.data();
}

std::string Printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = SequenceAt(text, i);
    if (size == 0) {
      clean += text[i] == '\n' ? ' ' : '?';
      ++i;
    } else {
      clean += text.substr(i, size);
      i += size;
    }
  }
  return clean;
}

std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

std::string ShortKey(std::string_view key, bool full) {
  return Printable(full ? key : key.substr(0, kShortDigits));
}

}  // namespace cairn::ctl

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::ctl {

/// "12,345".
std::string FormatCount(std::uint64_t count);
/// "12,345 objects", "1 object".
std::string FormatCount(std::uint64_t count, std::string_view noun);
/// "48 s", "3 h 12 min", "2 d 4 h".
std::string FormatSeconds(double seconds);
/// "41.3 %"; "-" of nothing.
std::string FormatShare(std::uint64_t part, std::uint64_t whole);

/// `text` without control characters and with only whole UTF-8 sequences: names of models and
/// tenants come from engines, and must not steer the terminal they are shown on.
std::string Printable(std::string_view text);
/// Columns that `text`, which is Printable, takes; one per character.
std::size_t Width(std::string_view text);

/// The first 12 digits of a key, which name it among billions; all of them if `full`.
std::string ShortKey(std::string_view key, bool full = false);

}  // namespace cairn::ctl

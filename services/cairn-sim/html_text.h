#pragma once

#include <string>
#include <string_view>

namespace cairn::sim {

/// Text for an element or for an attribute in double quotes: whatever stands in a file's name or in
/// a trace, nothing of it is markup. Bytes that are not UTF-8, and control characters, become
/// U+FFFD.
std::string HtmlEscape(std::string_view text);

/// "<name attributes>content</name>". `content` and `attributes` are markup already.
std::string Element(std::string_view name, std::string_view content,
                    std::string_view attributes = "");

/// The words as one line that a shell reads back as the same words.
std::string ShellLine(std::string_view program, int argc, const char* const* argv);

}  // namespace cairn::sim

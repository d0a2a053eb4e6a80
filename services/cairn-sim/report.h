#pragma once

#include <string>
#include <string_view>

#include "libcache/base/result.h"

namespace cairn::sim {

/// Exit codes of all commands.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// `text` to stdout. kExitFailed, with a message, if it cannot be written.
int Print(const std::string& text, bool json);

/// "cairn-sim: <message>" on stderr, or one line of JSON. `code` is ErrorName of a code, or
/// "usage".
void Complain(std::string_view code, const std::string& message, bool json);
/// Complains of what was asked for, or of what went wrong, and returns the exit code.
int WrongUsage(const Error& error, bool json);
int Failed(const Error& error, bool json);

}  // namespace cairn::sim

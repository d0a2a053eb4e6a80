#pragma once

#include <string>

#include "services/terminal/table.h"

namespace cairn::bench {

using terminal::Fixed;
using terminal::Grouped;
using terminal::Percent;
using terminal::Table;

/// Three digits and a unit that fits: "850 ns", "12.3 us", "4.56 ms", "7.8 s".
std::string Microseconds(double us);
/// "5.31 GB/s", of 10^9 bytes.
std::string GigabytesPerSecond(double bytes_per_second);

/// Prints `json` or `text` to stdout, and writes `json` to the file `save` unless that is empty.
/// kExitFailed, with a message, if it cannot.
int Print(const std::string& json, const std::string& text, bool as_json, const std::string& save);

/// "cairn-bench: <text>" on stderr.
void Complain(const std::string& text);
/// "cairn-bench: interrupted" there. Complain says nothing from then on: what fails now, fails
/// because of that. Thread-safe.
void TellInterrupted();

/// Exit codes of all commands.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

}  // namespace cairn::bench

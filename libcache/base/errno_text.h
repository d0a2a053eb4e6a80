#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace cairn {

/// What the system says of an error number. Unlike strerror, thread-safe.
inline std::string ErrnoText(int number = errno) { return std::generic_category().message(number); }

}  // namespace cairn

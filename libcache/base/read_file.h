#pragma once

#include <cstddef>
#include <limits>
#include <string>

#include "libcache/base/result.h"

namespace cairn {

/// The bytes of a file, at most `most`: where files of some size are refused, one byte more than is
/// accepted shows that a file is longer. Errors, with the path and what the system says: kNotFound,
/// kPermissionDenied, kIo (a folder, for instance).
Result<std::string> ReadFile(const std::string& path,
                             std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace cairn

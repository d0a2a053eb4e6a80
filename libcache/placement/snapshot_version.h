#pragma once

#include <cmath>
#include <span>
#include <string>

#include "libcache/base/result.h"

namespace cairn {

/// The first number of a model's snapshot is its version; what the others mean hangs on it.
/// Errors: kUnsupported for a version that is not `known`, kCorrupt for what is none.
inline Status CheckSnapshotVersion(std::span<const double> snapshot, double known,
                                   const std::string& model) {
  constexpr double kMost = 255;  // What is larger is no version but damage.
  const double version = snapshot.empty() ? 0 : snapshot[0];
  if (!(version >= 1 && version <= kMost && std::floor(version) == version)) {
    return Fail(ErrorCode::kCorrupt, model + " statistics without a version");
  }
  if (version != known) {
    const auto number = [](double x) { return std::to_string(static_cast<int>(x)); };
    return Fail(ErrorCode::kUnsupported, model + " statistics are of version " + number(version) +
                                             ", the daemon knows version " + number(known));
  }
  return {};
}

}  // namespace cairn

#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "libcache/base/clock.h"
#include "libcache/base/digest.h"

namespace cairn {

/// Whether a deadline has passed, by the clock that calls have theirs from.
inline bool IsLate(TimePoint deadline) { return SteadyClock::Instance().Now() >= deadline; }

/// CopyAndDigest, given up when the deadline has passed: between two stretches of 2 MiB, or a
/// fraction of a millisecond. Nothing then; what is in the target has no meaning. `target` takes at
/// least source.size() bytes.
std::optional<Digest> CopyAndDigestUntil(Pieces target, std::span<const std::byte> source,
                                         TimePoint deadline);

}  // namespace cairn

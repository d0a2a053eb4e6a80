#pragma once

#include <string>
#include <string_view>

#include "cairn/v1/placement.pb.h"
#include "libcache/base/result.h"

namespace cairn {

// The file of what a placement has learned (docs/formats/placement.md): a magic, a digest, and one
// PlacementStatistics. Damage and other versions are told apart.

inline constexpr std::uint32_t kPlacementVersion = 1;

/// Errors: kNoSpace beyond a GiB.
Result<std::string> EncodePlacement(const v1::PlacementStatistics& statistics);
/// Errors: kCorrupt (no such file, cut short, or a flipped bit), kUnsupported (another version).
Result<v1::PlacementStatistics> DecodePlacement(std::string_view bytes);

/// Errors: kNotFound; kIo (also for what is no file); kCorrupt for one of more than a GiB; those of
/// DecodePlacement; naming the path.
Result<v1::PlacementStatistics> ReadPlacementFile(const std::string& path);

/// Seconds since 1970, for PlacementStatistics::saved_at_unix_s.
double UnixSeconds();

}  // namespace cairn

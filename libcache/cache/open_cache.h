#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libcache/cache/cache.h"

namespace cairn {

struct OpenedCache {
  std::shared_ptr<Cache> cache;
  /// Where an SSD store that would not open was moved to, and why; empty usually.
  std::string notice;
};

/// Cache::Open with an SSD tier in the directory `ssd_path` of at most `ssd_bytes`, for users of a
/// cache in their own process. Without one where both are empty and 0.
/// Errors: kInvalidArgument if only one of the two is given; those of OpenSsdTier and Cache::Open.
Result<OpenedCache> OpenCacheWithSsd(const Cache::Config& config, const std::string& ssd_path,
                                     std::uint64_t ssd_bytes);

}  // namespace cairn

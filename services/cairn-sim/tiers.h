#pragma once

#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/sim/tiers.h"

namespace cairn::sim {

/// Bytes per second of "25GB/s"; "/s" may be left out. Errors: kInvalidArgument, quotes the text.
Result<double> ParseSpeed(const std::string& text);

/// Tiers as --tiers has them, the fastest first: "host=64GB:25GB/s". Errors: kInvalidArgument,
/// quotes the tier: a name or size that is missing, a size or speed of 0, a name given twice, more
/// bytes in all than can be counted.
Result<std::vector<TierOptions>> ParseTiers(const std::vector<std::string>& texts);

}  // namespace cairn::sim

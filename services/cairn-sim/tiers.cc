#include "services/cairn-sim/tiers.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "libcache/base/bytes.h"

namespace cairn::sim {
namespace {

constexpr std::size_t kMaxTiers = 16;

tl::unexpected<Error> Wrong(const std::string& text, const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, "--tiers: '" + text + "' " + what);
}

Result<TierOptions> ParseTier(const std::string& text) {
  const auto equals = text.find('=');
  const auto colon = text.find(':', equals == std::string::npos ? 0 : equals);
  if (equals == std::string::npos || equals == 0 || colon == std::string::npos) {
    return Wrong(text, "must be a name, a size and a speed, as host=64GB:25GB/s");
  }
  const auto bytes = ParseBytes(text.substr(equals + 1, colon - equals - 1));
  if (!bytes) {
    return Wrong(text, "has no size: " + bytes.error().message);
  }
  if (*bytes == 0) {
    return Wrong(text, "must have room; leave it out if it has none");
  }
  const auto speed = ParseSpeed(text.substr(colon + 1));
  if (!speed) {
    return Wrong(text, "has no speed: " + speed.error().message);
  }
  return TierOptions{
      .name = text.substr(0, equals), .capacity_bytes = *bytes, .bytes_per_s = *speed};
}

}  // namespace

Result<double> ParseSpeed(const std::string& text) {
  std::string size = text;
  if (size.ends_with("/s")) {
    size.resize(size.size() - 2);
  }
  const auto bytes = ParseBytes(size);
  if (!bytes || *bytes == 0) {
    return Fail(ErrorCode::kInvalidArgument, "'" + text + "' is not a speed above 0, as 25GB/s");
  }
  return static_cast<double>(*bytes);
}

Result<std::vector<TierOptions>> ParseTiers(const std::vector<std::string>& texts) {
  std::vector<TierOptions> tiers;
  std::uint64_t sum = 0;
  for (const std::string& text : texts) {
    auto tier = ParseTier(text);
    if (!tier) {
      return Fail(tier.error());
    }
    const bool twice = std::any_of(tiers.begin(), tiers.end(), [&tier](const TierOptions& known) {
      return known.name == tier->name;
    });
    if (twice) {
      return Wrong(text, "has the name of a tier before it");
    }
    // The greatest number stands for a cache without a limit, so the sum stays below it.
    if (tier->capacity_bytes >= std::numeric_limits<std::uint64_t>::max() - sum) {
      return Wrong(text, "is more than can be counted with the tiers before it");
    }
    if (tiers.size() == kMaxTiers) {
      return Wrong(text, "is one too many; there may be " + std::to_string(kMaxTiers));
    }
    sum += tier->capacity_bytes;
    tiers.push_back(*std::move(tier));
  }
  return tiers;
}

}  // namespace cairn::sim

#include "libcache/published/byte_placement.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cairn {

double BoundaryBytes::Of(std::span<const std::uint32_t> positions) const {
  return positions.empty() ? 0
                           : per_checkpoint * static_cast<double>(positions.size()) +
                                 per_token * static_cast<double>(positions.back());
}

double ExpectedSaving(std::span<const RealChainPoint> points,
                      std::span<const std::uint32_t> positions) {
  double saving = 0;
  double offered = 0;
  double previous = 0;
  std::size_t next = 0;
  for (const RealChainPoint& point : points) {
    for (; next < positions.size() && positions[next] <= point.position; ++next) {
      offered = positions[next] == point.position ? point.potential : previous;
    }
    saving += point.weight * offered;
    previous = point.potential;
  }
  return saving;
}

Result<std::vector<std::uint32_t>> PlaceForBytes(std::span<const RealChainPoint> points,
                                                 const BoundaryBytes& bytes, double price) {
  const auto acceptable = [](double value) { return std::isfinite(value) && value >= 0; };
  if (!acceptable(bytes.per_checkpoint) || !acceptable(bytes.per_token) || !(price >= 0)) {
    return Fail(ErrorCode::kInvalidArgument, "sizes and price must be numbers not below 0");
  }
  const auto chain = ToFixedChain(points);
  if (!chain) {
    return Fail(chain.error());
  }
  const auto place = [&](double at_price) {
    std::vector<ChainCost> reach;
    reach.reserve(points.size());
    for (const RealChainPoint& point : points) {
      reach.push_back(chain->Price(at_price * bytes.per_token * point.position));
    }
    return PlacePriced(chain->points, chain->Price(at_price * bytes.per_checkpoint), reach);
  };
  // From what bytes for nothing would save per byte, upwards: each round's set saves more per byte
  // than the last one, until none does.
  constexpr int kMaxRounds = 32;
  auto best = place(0);
  for (int round = 0; best && !best->positions.empty() && round < kMaxRounds; ++round) {
    const double taken = bytes.Of(best->positions);
    const double density = taken > 0 ? ExpectedSaving(points, best->positions) / taken : price;
    const bool affordable = density >= price;
    auto next = place(affordable ? price : density);
    // At its own density a set is worth as much as nothing, which is what rounding may choose.
    if (!next || next->positions.empty() || next->positions == best->positions) {
      break;
    }
    best = std::move(next);
    if (affordable) {
      break;
    }
  }
  if (!best) {
    return Fail(best.error());
  }
  return std::move(best->positions);
}

}  // namespace cairn

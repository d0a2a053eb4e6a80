#include "libcache/placement/distance_model.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace cairn {
namespace {

/// Overlaps of all tenants that a tenant's own are mixed with.
constexpr double kShrinkage = 8;
/// Before anything was seen overlaps are expected where engines expect them, at the place itself,
/// but for one in ten, which may end anywhere.
constexpr double kFirstAtPlace = 0.9;
constexpr double kFirstElsewhere = 0.004;
constexpr double kSnapshotVersion = 1;

std::size_t BinOf(std::uint32_t distance) {
  return std::min<std::size_t>(DistanceModel::kBins - 1,
                               static_cast<std::size_t>(std::bit_width(distance)));
}

double Sum(const DistanceModel::Histogram& histogram) {
  return std::accumulate(histogram.begin(), histogram.end(), 0.0);
}

void Halve(DistanceModel::Histogram& histogram) {
  for (double& weight : histogram) {
    weight /= 2;
  }
}

/// How many of the multiples of `grain` in [begin, end) are at most `limit`, as a share.
double ShareOfMultiples(std::uint64_t begin, std::uint64_t end, std::uint64_t limit,
                        std::uint64_t grain) {
  const auto below = [grain](std::uint64_t x) { return (x + grain - 1) / grain; };
  const std::uint64_t all = below(end) - below(begin);
  if (limit + 1 >= end) {
    return 1;
  }
  if (all == 0 || limit < begin) {
    // A bin between two multiples: what was counted there belongs to the next one.
    return limit >= below(begin) * grain ? 1 : 0;
  }
  return static_cast<double>(below(limit + 1) - below(begin)) / static_cast<double>(all);
}

}  // namespace

DistanceModel::DistanceModel() : histograms_(kSiteKinds * (1 + kTenants)) {}

std::size_t DistanceModel::PlaceOf(SiteKind kind, std::uint8_t tenant) {
  return static_cast<std::size_t>(kind) * (1 + kTenants) + 1 +
         std::min<std::size_t>(tenant, kTenants - 1);
}

void DistanceModel::Observe(SiteKind kind, std::uint8_t tenant, std::uint32_t distance_tokens) {
  for (const std::size_t place : {PlaceOf(kind, tenant), PlaceOf(kind, 0) - 1}) {
    Histogram& histogram = histograms_[place];
    histogram[BinOf(distance_tokens)] += 1;
    if (Sum(histogram) > kMemory) {
      Halve(histogram);
    }
  }
}

DistanceModel::Histogram DistanceModel::WeightsOf(SiteKind kind, std::uint8_t tenant) const {
  Histogram all = histograms_[PlaceOf(kind, 0) - 1];
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    all[bin] += bin == 0 ? kFirstAtPlace : kFirstElsewhere;
  }
  const double scale = kShrinkage / Sum(all);
  Histogram own = histograms_[PlaceOf(kind, tenant)];
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    own[bin] += scale * all[bin];
  }
  return own;
}

double DistanceModel::ShareWithin(SiteKind kind, std::uint8_t tenant, std::uint32_t distance,
                                  std::uint32_t edge_tokens, std::uint32_t grain) const {
  if (distance >= edge_tokens) {
    return 1;
  }
  const Histogram weights = WeightsOf(kind, tenant);
  double within = 0;
  double all = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    const std::uint64_t begin = bin == 0 ? 0 : std::uint64_t{1} << (bin - 1);
    const std::uint64_t end = std::uint64_t{1} << bin;
    if (begin >= edge_tokens) {
      break;  // Such overlaps end above this edge.
    }
    all += weights[bin];
    within += weights[bin] * ShareOfMultiples(begin, end, distance, std::max(grain, 1U));
  }
  return all > 0 ? within / all : 1;
}

void DistanceModel::Merge(const DistanceModel& other) {
  for (std::size_t i = 0; i < histograms_.size(); ++i) {
    Histogram& mine = histograms_[i];
    for (std::size_t bin = 0; bin < kBins; ++bin) {
      mine[bin] += other.histograms_[i][bin];
    }
    while (Sum(mine) > kMemory) {
      Halve(mine);
    }
  }
}

std::vector<double> DistanceModel::Snapshot() const {
  std::vector<double> snapshot = {kSnapshotVersion};
  for (const Histogram& histogram : histograms_) {
    snapshot.insert(snapshot.end(), histogram.begin(), histogram.end());
  }
  return snapshot;
}

Status DistanceModel::Restore(std::span<const double> snapshot) {
  if (snapshot.size() != 1 + kBins * histograms_.size() || snapshot[0] != kSnapshotVersion) {
    return Fail(ErrorCode::kCorrupt, "distance statistics of another version or length");
  }
  const auto sound = [](double x) { return x >= 0 && x <= kMemory; };  // Not for NaN.
  if (!std::all_of(snapshot.begin() + 1, snapshot.end(), sound)) {
    return Fail(ErrorCode::kCorrupt, "distance statistics hold a count out of range");
  }
  for (std::size_t i = 0; i < histograms_.size(); ++i) {
    std::copy_n(snapshot.begin() + 1 + static_cast<std::ptrdiff_t>(i * kBins), kBins,
                histograms_[i].begin());
  }
  return {};
}

}  // namespace cairn

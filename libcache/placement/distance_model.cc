#include "libcache/placement/distance_model.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "libcache/placement/snapshot_version.h"

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

/// Multiples of `grain` below x, 0 included.
std::uint64_t MultiplesBelow(std::uint64_t x, std::uint64_t grain) {
  return (x + grain - 1) / grain;
}

/// How many of the multiples of `grain` in [begin, end) are at most `limit`, which lies there.
/// Where there are none, a bin between two multiples, what was counted belongs to the next one.
double ShareOfMultiples(std::uint64_t begin, std::uint64_t end, std::uint64_t limit,
                        std::uint64_t grain) {
  const std::uint64_t first = MultiplesBelow(begin, grain);
  const std::uint64_t all = MultiplesBelow(end, grain) - first;
  const std::uint64_t within = MultiplesBelow(limit + 1, grain) - first;
  return all == 0 ? 0 : static_cast<double>(within) / static_cast<double>(all);
}

}  // namespace

DistanceModel::DistanceModel()
    : histograms_(kSiteKinds * (1 + kTenants)), sums_(histograms_.size()) {
  Changed();
}

void DistanceModel::Changed() {
  for (std::uint64_t& version : versions_) {
    ++version;
  }
}

std::size_t DistanceModel::PlaceOf(SiteKind kind, std::uint8_t tenant) {
  return static_cast<std::size_t>(kind) * (1 + kTenants) + 1 +
         std::min<std::size_t>(tenant, kTenants - 1);
}

void DistanceModel::Observe(SiteKind kind, std::uint8_t tenant, std::uint32_t distance_tokens) {
  ++versions_[static_cast<std::size_t>(kind)];
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

const DistanceModel::Sums& DistanceModel::SumsOf(SiteKind kind, std::uint8_t tenant) const {
  const std::uint64_t version = versions_[static_cast<std::size_t>(kind)];
  Sums& sums = sums_[PlaceOf(kind, tenant)];
  if (sums.version != version) {
    const Histogram weights = WeightsOf(kind, tenant);
    std::partial_sum(weights.begin(), weights.end(), sums.before.begin() + 1);
    sums.version = version;
  }
  return sums;
}

double DistanceModel::ShareWithin(SiteKind kind, std::uint8_t tenant, std::uint32_t distance,
                                  std::uint32_t edge_tokens, std::uint32_t grain) const {
  if (distance >= edge_tokens) {
    return 1;
  }
  const auto& before = SumsOf(kind, tenant).before;
  // Bins that begin beyond the edge: such overlaps end above it.
  const double all = before[std::min(kBins, 1 + BinOf(edge_tokens - 1))];
  const std::size_t bin = BinOf(distance);
  const std::uint64_t begin = bin == 0 ? 0 : std::uint64_t{1} << (bin - 1);
  const std::uint64_t end = std::uint64_t{1} << bin;
  double within = before[bin + 1];
  if (std::uint64_t{distance} + 1 < end) {
    const double share = ShareOfMultiples(begin, end, distance, std::max(grain, 1U));
    within = std::min(within, before[bin] + share * (within - before[bin]));
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
  Changed();
}

std::vector<double> DistanceModel::Snapshot() const {
  std::vector<double> snapshot = {kSnapshotVersion};
  for (const Histogram& histogram : histograms_) {
    snapshot.insert(snapshot.end(), histogram.begin(), histogram.end());
  }
  return snapshot;
}

Status DistanceModel::Restore(std::span<const double> snapshot) {
  if (Status fits = CheckSnapshotVersion(snapshot, kSnapshotVersion, "distance"); !fits) {
    return fits;
  }
  if (snapshot.size() != 1 + kBins * histograms_.size()) {
    return Fail(ErrorCode::kCorrupt, "distance statistics of another length");
  }
  const auto sound = [](double x) { return x >= 0 && x <= kMemory; };  // Not for NaN.
  if (!std::all_of(snapshot.begin() + 1, snapshot.end(), sound)) {
    return Fail(ErrorCode::kCorrupt, "distance statistics hold a count out of range");
  }
  for (std::size_t i = 0; i < histograms_.size(); ++i) {
    std::copy_n(snapshot.begin() + 1 + static_cast<std::ptrdiff_t>(i * kBins), kBins,
                histograms_[i].begin());
  }
  Changed();
  return {};
}

}  // namespace cairn

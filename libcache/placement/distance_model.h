#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/placement/reuse_model.h"

namespace cairn {

/// Answers one question: how far before a known place do later overlaps end?
///
/// Overlaps end at places: at the end of an earlier prompt, a question's length before it, at a
/// junction. So what is counted is the distance back from the place at whose edge the overlap
/// ended, in tokens, by doubling bins, per kind of place and tenant; a tenant with thin history
/// takes after all tenants. That is all a planner knows about a prompt that nobody has branched
/// off yet, and it is the same for prompts of any length. Not thread-safe; 85 KB.
class DistanceModel {
 public:
  /// Overlaps per histogram after which its history counts half.
  static constexpr double kMemory = 1000;

  DistanceModel();

  void Observe(SiteKind kind, std::uint8_t tenant, std::uint32_t distance_tokens);
  /// The share of the overlaps that end on an edge of `edge_tokens` which end at most `distance`
  /// tokens before its place: what a checkpoint there would serve of them. Positions are multiples
  /// of `grain` tokens. 1 from the edge's length on.
  [[nodiscard]] double ShareWithin(SiteKind kind, std::uint8_t tenant, std::uint32_t distance,
                                   std::uint32_t edge_tokens, std::uint32_t grain) const;

  void Merge(const DistanceModel& other);
  [[nodiscard]] std::vector<double> Snapshot() const;
  /// Errors: kCorrupt when the numbers are no snapshot, kUnsupported for one of another version.
  Status Restore(std::span<const double> snapshot);

  /// Bin 0 is a distance of 0, bin i those in [2^(i-1), 2^i).
  static constexpr std::size_t kBins = 26;
  using Histogram = std::array<double, kBins>;
  /// Weights per bin, shrunk, not normalised.
  [[nodiscard]] Histogram WeightsOf(SiteKind kind, std::uint8_t tenant) const;

 private:
  static constexpr std::size_t kTenants = 64;
  static std::size_t PlaceOf(SiteKind kind, std::uint8_t tenant);

  /// [i] is the weight of the bins before i, as of a version of the kind.
  struct Sums {
    std::uint64_t version = 0;
    std::array<double, kBins + 1> before{};
  };
  [[nodiscard]] const Sums& SumsOf(SiteKind kind, std::uint8_t tenant) const;
  void Changed();

  // Per kind: all tenants together, then each.
  std::vector<Histogram> histograms_;
  // A history that grows changes those that take after it: every event of a kind is a version.
  std::array<std::uint64_t, kSiteKinds> versions_{};
  mutable std::vector<Sums> sums_;  // In the order of histograms_; made when somebody asks.
};

}  // namespace cairn

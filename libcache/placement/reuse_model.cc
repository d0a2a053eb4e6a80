#include "libcache/placement/reuse_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "libcache/base/check.h"

namespace cairn {
namespace {

/// Before anything was seen a place is expected to come back with this probability in the first age
/// bin and, as kFalling has it, with less in each later one: in one of ten cases altogether.
constexpr double kFirstHazard = 0.02;
/// How many uses the neighbour's opinion weighs, for a base bin and for a factor. A factor must
/// have seen several uses before it may say something of its own.
constexpr double kBaseShrinkage = 1;
constexpr double kFactorShrinkage = 8;
/// A bin that nobody has lived to see is taken to be a little less likely than the one before it.
constexpr double kFalling = 0.85;
constexpr double kLeastHazard = 1e-9;
constexpr double kGreatestHazard = 3;  // 75 % within one bin; more is an artefact of the product.
constexpr double kMiddle = 0.5;        // A use falls into the middle of its bin on average.
constexpr std::size_t kValuesPerKind = 512;
/// Smoothing walks over all bins, and one more observation changes little.
constexpr std::uint32_t kSmoothEvery = 16;
constexpr double kSnapshotVersion = 1;

std::size_t IndexOf(SiteKind kind) { return static_cast<std::size_t>(kind); }

}  // namespace

std::uint8_t SiteTraits::LogBin(std::uint64_t n) {
  return static_cast<std::uint8_t>(std::min(31, static_cast<int>(std::bit_width(n))));
}

ReuseModel::ReuseModel()
    : terms_(kSiteKinds * AgeBins::kCount + kSiteKinds * kRatios + kFactors * kFactorValues) {
  unseen_.fill(kSmoothEvery);
}

ReuseModel::Places ReuseModel::PlacesOf(const SiteTraits& traits) {
  const std::array<std::size_t, kFactors> values = {
      std::min<std::size_t>(traits.turns, 15),
      std::min<std::size_t>(traits.uses, 31),
      std::min<std::size_t>(traits.children, 31),
      std::min<std::size_t>(traits.segment, 31),
      std::min<std::size_t>(traits.depth, 31),
      std::min<std::size_t>(traits.tenant, 63),
      std::min<std::size_t>(traits.answer, 31),
      std::min<std::size_t>(traits.siblings, 15) * 16 + std::min<std::size_t>(traits.continued, 15),
  };
  Places places{};
  std::size_t first = kSiteKinds * AgeBins::kCount + kSiteKinds * kRatios;
  for (std::size_t i = 0; i < kFactors; ++i) {
    places[i] = first + IndexOf(traits.kind) * kValuesPerKind + values[i];
    first += kFactorValues;
  }
  return places;
}

/// The age in steps of the last gap: "after twice the pause that it made before".
std::size_t ReuseModel::RatioOf(const SiteTraits& traits, std::size_t age_bin) {
  const int steps = static_cast<int>(age_bin) - static_cast<int>(traits.gap_bin);
  const int ratio = std::clamp(steps + static_cast<int>(kRatios / 2), 0, int{kRatios - 1});
  return kSiteKinds * AgeBins::kCount + IndexOf(traits.kind) * kRatios +
         static_cast<std::size_t>(ratio);
}

namespace {

template <class Term>
double FactorOf(const Term& term) {
  return (term.used + kFactorShrinkage) / (term.expected + kFactorShrinkage);
}

}  // namespace

double ReuseModel::Factors(const Places& places) const {
  double product = 1;
  for (const std::size_t place : places) {
    product *= FactorOf(terms_[place]);
  }
  return product;
}

double ReuseModel::Base(std::size_t kind, std::size_t age_bin) const {
  if (unseen_[kind] >= kSmoothEvery) {
    Recompute(kind);
    unseen_[kind] = 0;
  }
  return base_[kind][age_bin];
}

double ReuseModel::Hazard(const SiteTraits& traits, double factors, std::size_t age_bin) const {
  double hazard = factors * Base(IndexOf(traits.kind), age_bin);
  if (traits.gap_bin != SiteTraits::kNoGap) {
    hazard *= FactorOf(terms_[RatioOf(traits, age_bin)]);
  }
  return std::min(hazard, kGreatestHazard);
}

void ReuseModel::Recompute(std::size_t kind) const {
  double prior = kFirstHazard;
  for (std::size_t bin = 0; bin < AgeBins::kCount; ++bin) {
    const Term& term = terms_[kind * AgeBins::kCount + bin];
    prior = (term.used + kBaseShrinkage * kFalling * prior) / (term.expected + kBaseShrinkage);
    prior = std::max(prior, kLeastHazard);
    base_[kind][bin] = prior;
  }
}

void ReuseModel::Observe(const SiteTraits& traits, std::size_t age_bin, double used,
                         double exposure) {
  CAIRN_DCHECK(age_bin < AgeBins::kCount);
  const Places places = PlacesOf(traits);
  const double expected = Hazard(traits, Factors(places), age_bin) * exposure;
  const auto update = [used](Term& term, double without) {
    term.used += used;
    // Where the term itself is next to nothing, so is what divides by it.
    term.expected += std::min(without, kMemory / 10);
    if (term.used + term.expected > kMemory) {
      term.used /= 2;
      term.expected /= 2;
    }
  };
  for (const std::size_t place : places) {
    update(terms_[place], expected / FactorOf(terms_[place]));
  }
  if (traits.gap_bin != SiteTraits::kNoGap) {
    Term& ratio = terms_[RatioOf(traits, age_bin)];
    update(ratio, expected / FactorOf(ratio));
  }
  const std::size_t kind = IndexOf(traits.kind);
  update(terms_[kind * AgeBins::kCount + age_bin], expected / Base(kind, age_bin));
  ++unseen_[kind];
}

void ReuseModel::Survived(const SiteTraits& traits, std::size_t age_bin) {
  Observe(traits, age_bin, 0, 1);
}

void ReuseModel::Used(const SiteTraits& traits, std::size_t age_bin) {
  Observe(traits, age_bin, 1, kMiddle);
}

double ReuseModel::Density(const SiteTraits& traits, std::size_t age_bin) const {
  static const auto kWidths = [] {
    std::array<double, AgeBins::kCount> widths{};
    for (std::size_t bin = 0; bin < widths.size(); ++bin) {
      widths[bin] = AgeBins::End_s(bin) - AgeBins::Begin_s(bin);
    }
    return widths;
  }();
  constexpr double kNobodyLeft = 1e-3;
  const double factors = Factors(PlacesOf(traits));
  double left = 1;
  double used = 0;
  double held_s = 0;
  double best = 0;
  for (std::size_t bin = age_bin; bin < AgeBins::kCount && left > kNobodyLeft; ++bin) {
    // Odds instead of 1 - exp(-hazard): the same for small ones, and cheap.
    const double hazard = Hazard(traits, factors, bin);
    const double now = left * hazard / (1 + hazard);
    held_s += (left - kMiddle * now) * kWidths[bin];
    used += now;
    left -= now;
    best = std::max(best, used / held_s);
  }
  return best;
}

double ReuseModel::ReturnProbability(const SiteTraits& traits, std::size_t age_bin) const {
  const double factors = Factors(PlacesOf(traits));
  double left = 1;
  for (std::size_t bin = age_bin; bin < AgeBins::kCount; ++bin) {
    left /= 1 + Hazard(traits, factors, bin);
  }
  return 1 - left;
}

void ReuseModel::Merge(const ReuseModel& other) {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    Term& term = terms_[i];
    term.used += other.terms_[i].used;
    term.expected += other.terms_[i].expected;
    while (term.used + term.expected > kMemory) {
      term.used /= 2;
      term.expected /= 2;
    }
  }
  unseen_.fill(kSmoothEvery);
}

std::vector<double> ReuseModel::Snapshot() const {
  std::vector<double> snapshot = {kSnapshotVersion};
  snapshot.reserve(1 + 2 * terms_.size());
  for (const Term& term : terms_) {
    snapshot.push_back(term.used);
    snapshot.push_back(term.expected);
  }
  return snapshot;
}

Status ReuseModel::Restore(std::span<const double> snapshot) {
  if (snapshot.size() != 1 + 2 * terms_.size() || snapshot[0] != kSnapshotVersion) {
    return Fail(ErrorCode::kCorrupt, "reuse statistics of another version or length");
  }
  const auto sound = [](double x) { return x >= 0 && x <= kMemory; };  // Not for NaN.
  if (!std::all_of(snapshot.begin() + 1, snapshot.end(), sound)) {
    return Fail(ErrorCode::kCorrupt, "reuse statistics hold a count outside 0.." +
                                         std::to_string(static_cast<int>(kMemory)));
  }
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    terms_[i] = {.used = snapshot[1 + 2 * i], .expected = snapshot[2 + 2 * i]};
  }
  unseen_.fill(kSmoothEvery);
  return {};
}

}  // namespace cairn

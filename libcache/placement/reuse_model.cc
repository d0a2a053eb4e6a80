#include "libcache/placement/reuse_model.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "libcache/base/check.h"
#include "libcache/placement/snapshot_version.h"

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
constexpr double kMiddle = 0.5;  // A use falls into the middle of its bin on average.
/// Smoothing walks over all bins, and one more observation changes little.
constexpr std::uint32_t kSmoothEvery = 16;
constexpr double kSnapshotVersion = 3;

/// Values that each trait may take; larger ones count as the largest. In the order of PlacesOf.
constexpr std::array<std::size_t, 8> kValues = {16, 128, 128, 32, 32, 64, 32, 256};
constexpr std::size_t kFirstFactor = AgeBins::kCount + 64;
constexpr std::size_t kPerKind =
    kFirstFactor + std::accumulate(kValues.begin(), kValues.end(), std::size_t{0});

std::size_t IndexOf(SiteKind kind) { return static_cast<std::size_t>(kind); }

}  // namespace

std::uint8_t SiteTraits::LogBin(std::uint64_t n) {
  return static_cast<std::uint8_t>(std::min(31, static_cast<int>(std::bit_width(n))));
}

std::uint8_t SiteTraits::CountBin(std::uint64_t n) {
  constexpr int kStepBits = 2;
  const int shift = std::max(static_cast<int>(std::bit_width(n)) - 1 - kStepBits, 0);
  return static_cast<std::uint8_t>(std::min<std::uint64_t>(
      (static_cast<std::uint64_t>(shift) << kStepBits) + (n >> shift), 127));
}

ReuseModel::ReuseModel() : terms_(kSiteKinds * kPerKind) {
  static_assert(kValues.size() == kFactors && kFirstFactor == AgeBins::kCount + kRatios);
  DeriveAll();
}

void ReuseModel::Derive(Term& term) {
  term.factor = (term.used + kFactorShrinkage) / (term.expected + kFactorShrinkage);
}

void ReuseModel::CopyRatio(std::size_t kind, std::size_t ratio) {
  const double factor = terms_[kind * kPerKind + AgeBins::kCount + ratio].factor;
  auto& ratios = ratios_[kind];
  ratios[kRatioMargin + ratio] = factor;
  if (ratio == 0) {
    std::fill_n(ratios.begin(), kRatioMargin, factor);
  } else if (ratio + 1 == kRatios) {
    std::fill_n(ratios.end() - kRatioMargin, kRatioMargin, factor);
  }
}

void ReuseModel::DeriveAll() {
  for (Term& term : terms_) {
    Derive(term);
  }
  for (std::size_t kind = 0; kind < kSiteKinds; ++kind) {
    for (std::size_t ratio = 0; ratio < kRatios; ++ratio) {
      CopyRatio(kind, ratio);
    }
  }
  unseen_.fill(kSmoothEvery);
}

ReuseModel::Places ReuseModel::PlacesOf(const SiteTraits& traits) {
  const auto value = [](std::size_t trait, std::uint8_t of) {
    return std::min<std::size_t>(of, kValues[trait] - 1);
  };
  Places places = {
      value(0, traits.turns),
      value(1, traits.uses),
      value(2, traits.children),
      value(3, traits.segment),
      value(4, traits.depth),
      value(5, traits.tenant),
      value(6, traits.answer),
      std::min<std::size_t>(traits.siblings, 15) * 16 + std::min<std::size_t>(traits.continued, 15),
  };
  std::size_t first = IndexOf(traits.kind) * kPerKind + kFirstFactor;
  for (std::size_t i = 0; i < kFactors; ++i) {
    places[i] += first;
    first += kValues[i];
  }
  return places;
}

/// The age in steps of the last gap: "after twice the pause that it made before".
std::size_t ReuseModel::RatioOf(const SiteTraits& traits, std::size_t age_bin) {
  const auto gap = std::min<int>(traits.gap_bin, AgeBins::kCount - 1);
  const int steps = static_cast<int>(age_bin) - gap;
  const int ratio = std::clamp(steps + static_cast<int>(kRatios / 2), 0, int{kRatios - 1});
  return static_cast<std::size_t>(ratio);
}

double ReuseModel::Factors(const Places& places) const {
  double product = 1;
  for (const std::size_t place : places) {
    product *= terms_[place].factor;
  }
  return product;
}

const ReuseModel::Bins& ReuseModel::Base(std::size_t kind) const {
  if (unseen_[kind] >= kSmoothEvery) {
    Recompute(kind);
    unseen_[kind] = 0;
  }
  return base_[kind];
}

ReuseModel::Hazards ReuseModel::HazardsOf(const SiteTraits& traits) const {
  static constexpr auto kNoRatios = [] {
    Bins ones{};
    ones.fill(1);
    return ones;
  }();
  static_assert(kRatioMargin + kRatios / 2 >= AgeBins::kCount);
  const std::size_t kind = IndexOf(traits.kind);
  const std::size_t gap = std::min<std::size_t>(traits.gap_bin, AgeBins::kCount - 1);
  const bool has_gap = traits.gap_bin != SiteTraits::kNoGap;
  return {.factors = Factors(PlacesOf(traits)),
          .base = Base(kind).data(),
          .ratios =
              has_gap ? ratios_[kind].data() + kRatioMargin + kRatios / 2 - gap : kNoRatios.data()};
}

void ReuseModel::Recompute(std::size_t kind) const {
  double prior = kFirstHazard;
  for (std::size_t bin = 0; bin < AgeBins::kCount; ++bin) {
    const Term& term = terms_[kind * kPerKind + bin];
    // The division does not wait for the bin before.
    const double share = 1 / (term.expected + kBaseShrinkage);
    prior = term.used * share + kBaseShrinkage * kFalling * share * prior;
    prior = std::max(prior, kLeastHazard);
    base_[kind][bin] = prior;
  }
}

void ReuseModel::Observe(const SiteTraits& traits, std::size_t age_bin, double used,
                         double exposure) {
  CAIRN_DCHECK(age_bin < AgeBins::kCount);
  const Places places = PlacesOf(traits);
  const std::size_t kind = IndexOf(traits.kind);
  const bool has_gap = traits.gap_bin != SiteTraits::kNoGap;
  const std::size_t ratio = has_gap ? RatioOf(traits, age_bin) : 0;
  Term* const ratio_term = &terms_[kind * kPerKind + AgeBins::kCount + ratio];
  const double base = Base(kind)[age_bin];
  const double hazard = Factors(places) * base * (has_gap ? ratio_term->factor : 1);
  const double expected = std::min(hazard, kGreatestHazard) * exposure;
  const auto update = [used, expected](Term& term, double factor) {
    term.used += used;
    // Where the term itself is next to nothing, so is what divides by it.
    term.expected += std::min(expected / factor, kMemory / 10);
    if (term.used + term.expected > kMemory) {
      term.used /= 2;
      term.expected /= 2;
    }
    Derive(term);
  };
  for (const std::size_t place : places) {
    update(terms_[place], terms_[place].factor);
  }
  if (has_gap) {
    update(*ratio_term, ratio_term->factor);
    CopyRatio(kind, ratio);
  }
  update(terms_[kind * kPerKind + age_bin], base);
  ++unseen_[kind];
}

void ReuseModel::Survived(const SiteTraits& traits, std::size_t age_bin) {
  Observe(traits, age_bin, 0, 1);
}

void ReuseModel::Used(const SiteTraits& traits, std::size_t age_bin) {
  Observe(traits, age_bin, 1, kMiddle);
}

double ReuseModel::Density(const SiteTraits& traits, std::size_t age_bin) const {
  constexpr double kNobodyLeft = 1e-3;
  const Hazards hazards = HazardsOf(traits);
  double left = 1;
  double used = 0;
  double held_s = 0;
  double best_used = 0;
  double best_held_s = 1;
  for (std::size_t bin = age_bin; bin < AgeBins::kCount && left > kNobodyLeft; ++bin) {
    const double now = left * hazards.Odds(bin);
    held_s += (left - kMiddle * now) * AgeBins::WidthSeconds(bin);
    used += now;
    left -= now;
    // Fractions are compared without dividing.
    if (used * best_held_s > best_used * held_s) {
      best_used = used;
      best_held_s = held_s;
    }
    // Nor would all that is left do better if it were used at once.
    if ((used + left) * best_held_s <= best_used * held_s) {
      break;
    }
  }
  return best_used / best_held_s;
}

double ReuseModel::ReturnProbability(const SiteTraits& traits, std::size_t age_bin) const {
  const Hazards hazards = HazardsOf(traits);
  double one_in = 1;  // This many is unused to the end. Backwards: it may not fall with the age.
  for (std::size_t bin = AgeBins::kCount; bin > age_bin; --bin) {
    one_in *= 1 + hazards.At(bin - 1);
  }
  return 1 - 1 / one_in;
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
  DeriveAll();
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
  if (Status fits = CheckSnapshotVersion(snapshot, kSnapshotVersion, "reuse"); !fits) {
    return fits;
  }
  if (snapshot.size() != 1 + 2 * terms_.size()) {
    return Fail(ErrorCode::kCorrupt, "reuse statistics of another length");
  }
  const auto sound = [](double x) { return x >= 0 && x <= kMemory; };  // Not for NaN.
  if (!std::all_of(snapshot.begin() + 1, snapshot.end(), sound)) {
    return Fail(ErrorCode::kCorrupt, "reuse statistics hold a count outside 0.." +
                                         std::to_string(static_cast<int>(kMemory)));
  }
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    terms_[i].used = snapshot[1 + 2 * i];
    terms_[i].expected = snapshot[2 + 2 * i];
  }
  DeriveAll();
  return {};
}

}  // namespace cairn

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/placement/age_bins.h"

namespace cairn {

/// What a place on the prefix trie is at the moment.
enum class SiteKind : std::uint8_t {
  kTip,       ///< The end of a prompt that nothing has continued yet.
  kTurn,      ///< The end of a prompt that one path continues.
  kJunction,  ///< Several paths part here.
};
inline constexpr std::size_t kSiteKinds = 3;

/// What is known of a place when it was last used, in relative coordinates: nothing here is a
/// position from the prompt's start alone. Lengths are binned by LogBin, counts by CountBin.
struct SiteTraits {
  static constexpr std::uint8_t kNoGap = 255;

  SiteKind kind = SiteKind::kTip;
  std::uint8_t uses = 0;          ///< Overlaps that ended here so far.
  std::uint8_t turns = 0;         ///< Prompt ends in a row that led here: the turn of a session.
  std::uint8_t children = 0;      ///< Paths that continue it.
  std::uint8_t segment = 0;       ///< Tokens since the place above.
  std::uint8_t depth = 0;         ///< Tokens since the prompt's start.
  std::uint8_t siblings = 0;      ///< Paths that continue the place above, this one included.
  std::uint8_t continued = 0;     ///< How few of these were used: half steps of log2 of the share.
  std::uint8_t gap_bin = kNoGap;  ///< AgeBins of the pause before its last use.
  std::uint8_t tenant = 0;        ///< Any small number; tenants beyond 63 share.
  std::uint8_t answer = 0;        ///< Tokens generated behind a tip, plus one bin; 0: not known.
  bool operator==(const SiteTraits&) const = default;

  /// 0 for 0, then 1 + floor(log2 n), at most 31.
  static std::uint8_t LogBin(std::uint64_t n);
  /// Exact up to 8, then in four steps per doubling: 10, 12, 14, 16, 20... at most 127. A document
  /// that got all its questions is told from one that is being read.
  static std::uint8_t CountBin(std::uint64_t n);
};

/// Answers one question: how soon will a place on the trie be used again?
///
/// The hazard of a reuse in an age bin is a product, as in a proportional-hazards model (Cox 1972)
/// with piecewise constant baseline:
///   base[kind][age] x ratio[age / last gap] x product over traits of factor[trait value]
/// Every term is (uses seen + s) / (uses expected without this term + s), the posterior mean of a
/// rate under a Gamma(s, s) prior: with thin history a term is 1 and the coarser ones speak, which
/// is the shrinkage toward tenant, parent and model. A base bin without history takes after the
/// bin before it. Terms are fitted one by one while the events come in, and halved when they have
/// seen kMemory uses, so the model follows drift.
///
/// Observations are not censored by eviction: places are watched whether their bytes are resident
/// or not. Deterministic. Not thread-safe; 60 KB.
class ReuseModel {
 public:
  /// Uses per term after which its history counts half.
  static constexpr double kMemory = 1000;

  ReuseModel();

  /// A place of these traits reached the end of an age bin unused.
  void Survived(const SiteTraits& traits, std::size_t age_bin);
  /// A place of these traits was used at an age in this bin.
  void Used(const SiteTraits& traits, std::size_t age_bin);

  /// Uses per second that holding the place buys from this age on, when it is given up at the best
  /// moment: max over T of P(used before T) / E[time held until the use or T] (the index of Gittins
  /// 1979). For a falling hazard that is the hazard; where a pause comes first, it looks past it.
  [[nodiscard]] double Density(const SiteTraits& traits, std::size_t age_bin) const;
  /// Probability that it is used after this age.
  [[nodiscard]] double ReturnProbability(const SiteTraits& traits, std::size_t age_bin) const;

  /// Adds what another model has seen, that of another daemon, say.
  void Merge(const ReuseModel& other);
  /// All terms as numbers, for storing; Restore takes them back.
  [[nodiscard]] std::vector<double> Snapshot() const;
  /// Errors: kCorrupt when the numbers are no snapshot, kUnsupported for one of another version.
  Status Restore(std::span<const double> snapshot);

 private:
  struct Term {
    double used = 0;
    double expected = 0;  // Uses that the other terms predicted.
    double factor = 1;    // Of the two, shrunk. Not for bases, which take after their neighbours.
  };
  static constexpr double kGreatestHazard = 3;  // 75 % within one bin; more is an artefact.
  static constexpr std::size_t kFactors = 8;
  static constexpr std::size_t kRatios = 64;
  /// Ages before the last gap's half of the ratios, and beyond, take the outermost one.
  static constexpr std::size_t kRatioMargin = 8;
  using Bins = std::array<double, AgeBins::kCount>;
  using Places = std::array<std::size_t, kFactors>;

  static Places PlacesOf(const SiteTraits& traits);
  static std::size_t RatioOf(const SiteTraits& traits, std::size_t age_bin);
  [[nodiscard]] double Factors(const Places& places) const;
  [[nodiscard]] const Bins& Base(std::size_t kind) const;
  /// Of a place, bin by bin.
  struct Hazards {
    double factors = 1;
    const double* base = nullptr;
    const double* ratios = nullptr;

    [[nodiscard]] double At(std::size_t bin) const {
      return std::min(factors * base[bin] * ratios[bin], kGreatestHazard);
    }
    /// Instead of 1 - exp(-hazard): the same for small ones, and cheap.
    [[nodiscard]] double Odds(std::size_t bin) const {
      const double hazard = At(bin);
      return hazard / (1 + hazard);
    }
  };
  /// Valid until something is observed.
  [[nodiscard]] Hazards HazardsOf(const SiteTraits& traits) const;
  void Observe(const SiteTraits& traits, std::size_t age_bin, double used, double exposure);
  void Recompute(std::size_t kind) const;
  static void Derive(Term& term);
  void CopyRatio(std::size_t kind, std::size_t ratio);
  void DeriveAll();

  // Per kind: bases, ratios, factors; flat, so that a snapshot is a copy.
  std::vector<Term> terms_;
  // The bases, smoothed along the age when somebody asks.
  mutable std::array<Bins, kSiteKinds> base_{};
  mutable std::array<std::uint32_t, kSiteKinds> unseen_{};  // Observations since then.
  // The factors of the ratios side by side, with margins, so that a walk along the age needs no
  // clamp.
  std::array<std::array<double, kRatios + 2 * kRatioMargin>, kSiteKinds> ratios_{};
};

}  // namespace cairn

#pragma once

#include <cstdint>

namespace cairn {

/// What the best plan at some price costs.
struct PricedCost {
  double price_per_byte = 0;
  double recompute = 0;
  std::uint64_t bytes = 0;
};

/// The price at which two plans cost the same, not below 0. REQUIRES: more.bytes > less.bytes.
double CrossingPrice(const PricedCost& more, const PricedCost& less);

/// Answers one question: which price to try next, to find the least at which the best plan fits a
/// budget? Whoever drives it finds the best plan at a price in a way of its own: of a whole trie
/// (SolveTrieForBudget), or as the sum over a forest of which only parts have changed.
/// Deterministic; not thread-safe.
class PriceSearch {
 public:
  /// A search stops when the price is known to this part of itself, or after that many steps.
  static constexpr double kTolerance = 1e-9;
  static constexpr int kMaxSteps = 200;

  /// From a price at which the best plan has more than `budget_bytes` (0 will do, if not all that
  /// is useful fits) and a higher one at which it has not. The closer they are, the fewer steps.
  PriceSearch(const PricedCost& over, const PricedCost& fits, std::uint64_t budget_bytes);

  [[nodiscard]] bool Done() const;
  /// REQUIRES: not Done(). Each price is to be answered by Learn().
  [[nodiscard]] double NextPrice();
  /// What the best plan costs at the price that NextPrice() asked for. True if it fits: then it is
  /// the best answer so far.
  bool Learn(double recompute, std::uint64_t bytes);
  /// The best answer so far.
  [[nodiscard]] const PricedCost& Fits() const { return fits_; }

 private:
  [[nodiscard]] double LogRatio() const;
  [[nodiscard]] double Interpolated(bool beyond) const;

  PricedCost over_;
  PricedCost fits_;
  std::uint64_t budget_bytes_;
  double asked_ = 0;
  double log_ratio_ = 0;  // Of the prices, when the last three steps began.
  double nudge_ = 0;      // Added to crossings, as a part of them.
  int step_ = 0;
  bool stuck_ = false;
  bool crossing_ = false;
  bool found_ = false;
};

}  // namespace cairn

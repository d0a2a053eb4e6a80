#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace cairn::sim {

/// Two histograms of where overlaps end, from the front of the prompt and back from the end of the
/// stored prompt that held the overlap, and the split of a number of checkpoints between their
/// optima that would have cost least. Everything in blocks.
///
/// Online: an observation counts `kDecay` of the one after it, and the plan is made anew every
/// kEvery of them (at first after 1, 2, 4, ...). Each side is the exact optimum for its histogram
/// alone, by dynamic programming over a lower envelope, O(most * kWindow) a plan; the split is the
/// one of most + 1 that would have cost least together.
class TwoSidedPlacement {
 public:
  explicit TwoSidedPlacement(std::uint32_t most) : most_(most) {}

  /// An overlap above 0, and the length of the latest stored prompt that held it.
  void Observe(std::uint32_t overlap, std::uint32_t stored);
  /// Ascending, in (0, length], at most `most`; empty until something was observed.
  [[nodiscard]] std::vector<std::uint32_t> Positions(std::uint32_t length) const;

  [[nodiscard]] const std::vector<std::uint32_t>& from_front() const { return from_front_; }
  [[nodiscard]] const std::vector<std::uint32_t>& from_end() const { return from_end_; }

 private:
  static constexpr double kDecay = 0.99;
  static constexpr std::uint64_t kEvery = 50;
  static constexpr std::size_t kWindow = 1000;  // Older ones weigh less than 5e-5.

  struct Seen {
    std::uint32_t overlap = 0;
    std::uint32_t stored = 0;
  };

  void Solve();

  std::uint32_t most_;
  std::deque<Seen> seen_;  // The oldest first.
  std::uint64_t observed_ = 0;
  std::vector<std::uint32_t> from_front_;  // Ascending.
  std::vector<std::uint32_t> from_end_;    // Descending: as positions, ascending.
};

}  // namespace cairn::sim

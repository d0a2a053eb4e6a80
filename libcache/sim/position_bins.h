#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::sim {

/// What happened where in the prompts: counts by position, in bins that widen by two while longer
/// prompts come in, so that a run of any length takes a few kB.
class PositionBins {
 public:
  static constexpr std::size_t kMost = 128;

  /// Of the positions in (i * bin_tokens, (i + 1) * bin_tokens], i being the bin's number: position
  /// p means that p tokens lie before it, and at 0 there is nothing to count.
  struct Bin {
    std::uint64_t overlaps = 0;  ///< Requests whose overlap ends there.
    std::uint64_t served = 0;    ///< Those of them that resumed right there.
    std::uint64_t written = 0;   ///< Checkpoints.
    std::uint64_t kept = 0;      ///< Checkpoints that are there at the end of the run.
  };

  explicit PositionBins(std::uint64_t bin_tokens = 1) : bin_tokens_(bin_tokens) {}

  /// `position` must be above 0.
  Bin& At(std::uint64_t position) {
    while ((position - 1) / bin_tokens_ >= kMost) {
      Widen();
    }
    const std::size_t i = (position - 1) / bin_tokens_;
    if (i >= bins_.size()) {
      bins_.resize(i + 1);
    }
    return bins_[i];
  }
  /// Both in tokens; a request without an overlap is left out.
  void AddOverlap(std::uint64_t overlap, std::uint64_t served) {
    if (overlap > 0) {
      Bin& bin = At(overlap);
      ++bin.overlaps;
      bin.served += served == overlap ? 1 : 0;
    }
  }
  [[nodiscard]] std::uint64_t bin_tokens() const { return bin_tokens_; }
  [[nodiscard]] const std::vector<Bin>& bins() const { return bins_; }

 private:
  void Widen() {
    bin_tokens_ *= 2;
    for (std::size_t i = 0; i < bins_.size(); ++i) {
      const Bin from = bins_[i];
      bins_[i] = {};  // Before what may be added to it.
      Bin& to = bins_[i / 2];
      to.overlaps += from.overlaps;
      to.served += from.served;
      to.written += from.written;
      to.kept += from.kept;
    }
    bins_.resize((bins_.size() + 1) / 2);
  }

  std::uint64_t bin_tokens_;
  std::vector<Bin> bins_;
};

}  // namespace cairn::sim

#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/placement/learned_placement.h"
#include "libcache/sim/position_bins.h"
#include "libcache/sim/strategy.h"
#include "libcache/sim/tiers.h"
#include "libcache/trace/trace.h"

namespace cairn::sim {

/// What to simulate. Sizes are those of one tensor-parallel rank.
struct Options {
  std::string strategy = "trie";
  std::string eviction = "value";
  std::uint32_t block_tokens = 64;
  std::uint64_t checkpoint_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;
  std::uint64_t capacity_bytes = std::numeric_limits<std::uint64_t>::max();
  std::uint32_t context_tokens = 0;  ///< Longer prompts are refused by the engine; 0: no limit.
  PrefillCost cost{.per_token_s = 1, .per_pair_s = 0};
  LearnedPlacement::Config learned;
  /// What flops per byte count beside recency, with the eviction "marconi"; unset: MarconiTuner.
  std::optional<double> marconi_alpha{};
  /// Where it lies, if loading takes time; capacity_bytes is the sum then. Empty: it takes none.
  std::vector<TierOptions> tiers{};
};

/// What a run came to. Token counts are of prompts; shares are left to the reader.
struct Report {
  std::uint64_t requests = 0;
  std::uint64_t refused_requests = 0;  ///< Longer than the context; not counted elsewhere.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t overlap_tokens = 0;  ///< In whole blocks, short of the last token: infinite memory.
  std::uint64_t served_tokens = 0;
  std::uint64_t gap_tokens = 0;  ///< Overlap that had to be computed again.
  std::uint64_t hits = 0;        ///< Requests that resumed somewhere.
  double prefill_s = 0;          ///< Of all prompts from nothing.
  double saved_s = 0;
  std::uint64_t checkpoints_written = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t peak_bytes = 0;
  std::uint64_t evicted_checkpoints = 0;
  /// Of the engine of today that the learned placement runs beside itself; 0 where nothing learns.
  std::uint64_t engine_written_bytes = 0;
  std::uint64_t engine_served_tokens = 0;
  double planner_cpu_s = 0;
  double span_s = 0;
  double marconi_alpha = 0;        ///< At the end, with that eviction.
  std::vector<TierReport> tiers;   ///< One for each of Options::tiers.
  std::uint64_t memory_bytes = 0;  ///< Of the simulator's own structures at the end.
  /// Price over time, at most a few hundred points; empty unless the eviction is "value".
  struct PricePoint {
    double at_s = 0;
    double price = 0;
  };
  std::vector<PricePoint> prices;
  PositionBins positions;
};

/// Replays requests through placement and eviction without bytes. Create, Add each, Finish.
class Simulator {
 public:
  /// Errors: kInvalidArgument for an unknown strategy or eviction policy, block_tokens of 0, an
  /// alpha that is negative or not finite, tiers whose capacities do not add up to capacity_bytes
  /// or that are slower than anything, or a strategy that needs the whole trace ("oracle": see
  /// RunOracle).
  static Result<std::unique_ptr<Simulator>> Create(const Options& options);
  virtual ~Simulator() = default;
  /// `request` in order of arrival.
  virtual void Add(const TraceRequest& request) = 0;
  /// The deepest place where a request of these ChainWords could resume now; 0: nowhere. Changes
  /// nothing.
  [[nodiscard]] virtual std::uint32_t ResumeTokens(std::span<const std::uint64_t> words,
                                                   std::uint32_t input_tokens) const = 0;
  /// How much of a prompt of these ChainWords is known here, resident or not. Changes nothing.
  [[nodiscard]] virtual std::uint32_t SeenTokens(std::span<const std::uint64_t> words) const = 0;
  /// A request that another daemon serves, which asked here too: what learns learns from it, and
  /// nothing is stored or counted.
  virtual void Overhear(const TraceRequest& request) = 0;
  [[nodiscard]] virtual std::uint64_t used_bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t written_bytes() const = 0;
  [[nodiscard]] virtual Report Finish() = 0;
};

/// The clairvoyant: places states where later requests of the trace will want them, and evicts what
/// is wanted last. An upper bound for comparison, not exactly the optimum (sizes differ).
/// Errors: those of `reader`; kInvalidArgument for block_tokens of 0, and for tiers.
Result<Report> RunOracle(TraceReader& reader, const Options& options);

/// One word per block of the prompt, each standing for the whole prefix up to its block. Blocks of
/// `block_tokens`: those of an exact trace are cut from its path; a block trace of greater blocks
/// is cut finer as if all of a block were one piece.
std::vector<std::uint64_t> ChainWords(const TraceRequest& request, std::uint32_t block_tokens);

}  // namespace cairn::sim

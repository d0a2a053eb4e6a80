#include "libcache/sim/cluster.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "libcache/policy/load_meter.h"

namespace cairn::sim {
namespace {

/// The key that a prefix would have; words are as good as random.
PrefixKey KeyOf(std::span<const std::uint64_t> words, std::size_t blocks) {
  PrefixKey key;
  if (blocks > 0) {
    std::memcpy(key.bytes.data(), &words[blocks - 1], sizeof(words[0]));
  }
  return key;
}

void AddTo(Report& sum, const Report& one) {
  sum.requests += one.requests;
  sum.refused_requests += one.refused_requests;
  sum.prompt_tokens += one.prompt_tokens;
  sum.overlap_tokens += one.overlap_tokens;
  sum.served_tokens += one.served_tokens;
  sum.gap_tokens += one.gap_tokens;
  sum.hits += one.hits;
  sum.prefill_s += one.prefill_s;
  sum.saved_s += one.saved_s;
  sum.checkpoints_written += one.checkpoints_written;
  sum.bytes_written += one.bytes_written;
  sum.peak_bytes += one.peak_bytes;
  sum.evicted_checkpoints += one.evicted_checkpoints;
  sum.engine_written_bytes += one.engine_written_bytes;
  sum.engine_served_tokens += one.engine_served_tokens;
  sum.planner_cpu_s += one.planner_cpu_s;
  sum.span_s = std::max(sum.span_s, one.span_s);
  sum.memory_bytes += one.memory_bytes;
}

std::vector<std::string> Names(std::uint32_t daemons) {
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < daemons; ++i) {
    names.push_back("cairn-" + std::to_string(i));
  }
  return names;
}

class RoutedSimulators final : public ClusterSimulator {
 public:
  RoutedSimulators(const Options& options, const ClusterOptions& cluster,
                   std::vector<std::unique_ptr<Simulator>> daemons)
      : block_tokens_(options.block_tokens),
        capacity_bytes_(options.capacity_bytes),
        cluster_(cluster),
        ring_(Names(cluster.daemons)),
        usable_(cluster.daemons, 1),
        daemons_(std::move(daemons)),
        meters_(cluster.daemons) {}

  void Add(const TraceRequest& request) override {
    const std::vector<std::uint64_t> words = ChainWords(request, block_tokens_);
    const RouteBlocks route = RouteBlocksOf(cluster_.rule, words.size(), block_tokens_);
    const Ring::Candidates candidates =
        ring_.Pick(KeyOf(words, route.home), KeyOf(words, route.spread), usable_);
    const std::array<std::size_t, 2> both = {candidates.first, candidates.second};
    std::array<CandidateAnswer, 2> answers;
    for (std::size_t i = 0; i < both.size(); ++i) {
      const Simulator& daemon = *daemons_[both[i]];
      answers[i] = {.answered = true,
                    .resume_tokens = daemon.ResumeTokens(words, request.input_tokens),
                    .load_permille = meters_[both[i]].Permille(daemon.used_bytes(), capacity_bytes_,
                                                               request.arrival_s)};
    }
    const std::size_t better = Better(cluster_.rule, request.input_tokens, answers);
    Simulator& daemon = *daemons_[both[better]];
    daemon.Add(request);
    meters_[both[better]].Note(daemon.written_bytes(), request.arrival_s);
    if (cluster_.overhear && both[0] != both[1]) {
      daemons_[both[1 - better]]->Overhear(request);
    }
  }

  ClusterReport Finish() override {
    ClusterReport report;
    for (const auto& daemon : daemons_) {
      report.daemons.push_back(daemon->Finish());
      report.used_bytes.push_back(daemon->used_bytes());
      AddTo(report.sum, report.daemons.back());
    }
    return report;
  }

 private:
  const std::uint32_t block_tokens_;
  const std::uint64_t capacity_bytes_;  // Of each.
  const ClusterOptions cluster_;
  const Ring ring_;
  const std::vector<std::uint8_t> usable_;
  std::vector<std::unique_ptr<Simulator>> daemons_;
  std::vector<LoadMeter> meters_;
};

}  // namespace

Result<std::unique_ptr<ClusterSimulator>> ClusterSimulator::Create(const Options& options,
                                                                   const ClusterOptions& cluster) {
  if (cluster.daemons == 0) {
    return Fail(ErrorCode::kInvalidArgument, "daemons: must be at least 1");
  }
  if (!options.tiers.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "tiers: are simulated for one daemon only");
  }
  Options each = options;
  if (options.capacity_bytes != std::numeric_limits<std::uint64_t>::max()) {
    each.capacity_bytes = options.capacity_bytes / cluster.daemons;
  }
  std::vector<std::unique_ptr<Simulator>> daemons;
  for (std::uint32_t i = 0; i < cluster.daemons; ++i) {
    auto made = Simulator::Create(each);
    if (!made) {
      return Fail(made.error());
    }
    daemons.push_back(*std::move(made));
  }
  return std::make_unique<RoutedSimulators>(each, cluster, std::move(daemons));
}

}  // namespace cairn::sim

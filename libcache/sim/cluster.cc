#include "libcache/sim/cluster.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "libcache/cluster/affinity.h"
#include "libcache/policy/load_meter.h"

namespace cairn::sim {
namespace {

/// The keys that the blocks of a prompt would have; words are as good as random.
std::vector<PrefixKey> KeysOf(std::span<const std::uint64_t> words) {
  std::vector<PrefixKey> keys(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::memcpy(keys[i].bytes.data(), &words[i], sizeof(words[i]));
  }
  return keys;
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
  names.reserve(daemons);
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
        meters_(cluster.daemons),
        engines_(cluster.engines,
                 Engine{.affinity = Affinity(),
                        .load_permille = std::vector<std::uint32_t>(cluster.daemons)}) {}

  void Add(const TraceRequest& request) override {
    const std::vector<std::uint64_t> words = ChainWords(request, block_tokens_);
    Prompt prompt{.request = &request, .words = words, .keys = KeysOf(words)};
    const RouteBlocks route = RouteBlocksOf(cluster_.rule, words.size(), block_tokens_);
    const auto key = [&](std::size_t blocks) {
      return blocks == 0 ? PrefixKey() : prompt.keys[blocks - 1];
    };
    const Ring::Candidates candidates = ring_.Pick(key(route.home), key(route.spread), usable_);
    prompt.candidates = {candidates.first, candidates.second};
    Engine& engine = engines_[next_engine_++ % engines_.size()];
    const std::size_t better = Choose(engine, prompt);
    const std::size_t chosen = prompt.candidates[better];
    const std::uint32_t before = daemons_[chosen]->ResumeTokens(words, request.input_tokens);
    daemons_[chosen]->Add(request);
    meters_[chosen].Note(daemons_[chosen]->written_bytes(), request.arrival_s);
    if (cluster_.overhear && prompt.candidates[0] != prompt.candidates[1]) {
      daemons_[prompt.candidates[1 - better]]->Overhear(request);
    }
    // What the request stored is what one could resume from now and could not before.
    const std::uint32_t stored = daemons_[chosen]->ResumeTokens(words, kAnyLength);
    if (stored > before) {
      const std::uint32_t blocks = stored / block_tokens_;
      engine.affinity.Remember(prompt.keys[blocks - 1], blocks, static_cast<std::uint32_t>(chosen));
    }
  }

  ClusterReport Finish() override {
    ClusterReport report;
    report.asked = asked_;
    for (const auto& daemon : daemons_) {
      report.daemons.push_back(daemon->Finish());
      report.used_bytes.push_back(daemon->used_bytes());
      AddTo(report.sum, report.daemons.back());
    }
    return report;
  }

 private:
  struct Engine {
    Affinity affinity;
    std::vector<std::uint32_t> load_permille;  // As each daemon said last.
  };
  struct Prompt {
    const TraceRequest* request = nullptr;
    std::span<const std::uint64_t> words;
    std::vector<PrefixKey> keys;
    std::array<std::size_t, 2> candidates{};
  };

  CandidateAnswer Ask(Engine& engine, const Prompt& prompt, std::size_t candidate) const {
    const std::size_t member = prompt.candidates[candidate];
    const Simulator& daemon = *daemons_[member];
    const TraceRequest& request = *prompt.request;
    const std::uint32_t load =
        meters_[member].Permille(daemon.used_bytes(), capacity_bytes_, request.arrival_s);
    engine.load_permille[member] = load;
    return {.answered = true,
            .resume_tokens = daemon.ResumeTokens(prompt.words, request.input_tokens),
            .load_permille = load,
            .overlap_tokens = daemon.SeenTokens(prompt.words)};
  }

  /// Index of the candidate that serves it; as Client::MatchBest does it.
  std::size_t Choose(Engine& engine, const Prompt& prompt) {
    const std::uint32_t tokens = prompt.request->input_tokens;
    const auto known =
        cluster_.affinity ? engine.affinity.Deepest(prompt.keys) : std::optional<Affinity::Known>();
    const auto found = !known ? prompt.candidates.end()
                              : std::find(prompt.candidates.begin(), prompt.candidates.end(),
                                          std::size_t{known->member});
    std::array<CandidateAnswer, 2> answers;
    if (found != prompt.candidates.end() && prompt.candidates[0] != prompt.candidates[1]) {
      const auto at = static_cast<std::size_t>(found - prompt.candidates.begin());
      const RememberedHolder holder{
          .tokens = std::min(known->blocks * block_tokens_, tokens - 1),
          .load_permille = engine.load_permille[*found],
          .other_load_permille = engine.load_permille[prompt.candidates[1 - at]]};
      if (AskAlone(cluster_.rule, tokens, holder)) {
        answers[at] = Ask(engine, prompt, at);
        if (Suffices(cluster_.rule, holder, block_tokens_, answers[at])) {
          ++asked_.one;
          return at;
        }
        answers[1 - at] = Ask(engine, prompt, 1 - at);
        ++asked_.in_turn;
        return Better(cluster_.rule, tokens, answers);
      }
    }
    asked_.both += prompt.candidates[0] != prompt.candidates[1] ? 1 : 0;
    answers = {Ask(engine, prompt, 0), Ask(engine, prompt, 1)};
    return Better(cluster_.rule, tokens, answers);
  }

  static constexpr std::uint32_t kAnyLength = std::numeric_limits<std::uint32_t>::max();

  const std::uint32_t block_tokens_;
  const std::uint64_t capacity_bytes_;  // Of each.
  const ClusterOptions cluster_;
  const Ring ring_;
  const std::vector<std::uint8_t> usable_;
  std::vector<std::unique_ptr<Simulator>> daemons_;
  std::vector<LoadMeter> meters_;
  std::vector<Engine> engines_;
  std::size_t next_engine_ = 0;
  ClusterReport::Asked asked_;
};

}  // namespace

Result<std::unique_ptr<ClusterSimulator>> ClusterSimulator::Create(const Options& options,
                                                                   const ClusterOptions& cluster) {
  if (cluster.daemons == 0) {
    return Fail(ErrorCode::kInvalidArgument, "daemons: must be at least 1");
  }
  if (cluster.engines == 0) {
    return Fail(ErrorCode::kInvalidArgument, "engines: must be at least 1");
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

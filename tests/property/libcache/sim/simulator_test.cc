#include "libcache/sim/simulator.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/property/libcache/sim/any_trace.h"

namespace cairn::sim {
namespace {

Report Run(const Options& options, const std::vector<TraceRequest>& trace) {
  auto simulator = std::move(Simulator::Create(options)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

/// Turn ends and divergences by recency, with nothing but sets of words: a word names a prefix.
class NaiveEngine {
 public:
  explicit NaiveEngine(const Options& options) : options_(options) {}

  std::uint64_t served_tokens = 0;
  std::uint64_t overlap_tokens = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t evicted_states = 0;

  void Add(const TraceRequest& request) {
    const auto words = ChainWords(request, options_.block_tokens);
    if (words.empty()) {
      return;
    }
    const auto end = static_cast<std::uint32_t>(words.size());
    std::uint32_t seen = 0;
    while (seen < end && next_.contains(words[seen])) {
      ++seen;
    }
    const std::uint32_t limit = (request.input_tokens - 1) / options_.block_tokens;
    CutAfter(words, seen);
    seen = std::min(seen, limit);
    CutAfter(words, seen);
    for (std::uint32_t block = 0; block < end; ++block) {
      next_[words[block]];
      if (block + 1 < end) {
        next_[words[block]].insert(words[block + 1]);
      }
      depth_[words[block]] = block + 1;
    }
    CutAfter(words, end);
    // The stretches of the path by the words at their ends.
    std::vector<std::uint64_t> path;
    std::uint32_t resumed = 0;
    bool kv = true;
    for (std::uint32_t block = 1; block <= end; ++block) {
      const std::uint64_t word = words[block - 1];
      if (cuts_.contains(word)) {
        begin_[word] = path.empty() ? 0 : depth_[path.back()];
        above_[word] = path.empty() ? 0 : path.back();
        path.push_back(word);
        kv = kv && kv_used_.contains(word);
        resumed = kv && block <= seen && state_used_.contains(word) ? block : resumed;
      }
    }
    served_tokens += std::uint64_t{resumed} * options_.block_tokens;
    overlap_tokens += std::uint64_t{seen} * options_.block_tokens;
    for (std::size_t i = path.size(); i > 0; --i) {
      const std::uint64_t word = path[i - 1];
      const std::uint32_t depth = depth_[word];
      if (depth == resumed || (depth == seen && seen > resumed) || depth == end) {
        Use(state_used_, word, options_.checkpoint_bytes);
      }
      Use(kv_used_, word, KvBytes(word));
    }
    while (used_bytes_ > options_.capacity_bytes) {
      EvictOldest();
    }
  }

 private:
  std::uint64_t KvBytes(std::uint64_t word) {
    return std::uint64_t{depth_[word] - begin_[word]} * options_.block_tokens *
           options_.kv_bytes_per_token;
  }
  void CutAfter(const std::vector<std::uint64_t>& words, std::uint32_t block) {
    if (block == 0 || !cuts_.insert(words[block - 1]).second) {
      return;
    }
    const std::uint64_t upper = words[block - 1];
    std::uint64_t lower = upper;
    do {  // Down to the next cut, where the stretch ended so far.
      if (next_[lower].empty()) {
        return;
      }
      lower = *next_[lower].begin();
    } while (!cuts_.contains(lower));
    begin_[upper] = begin_[lower];
    above_[upper] = above_[lower];
    begin_[lower] = block;
    above_[lower] = upper;
    if (kv_used_.contains(lower)) {
      kv_used_[upper] = ++clock_;
    }
  }
  void Use(std::map<std::uint64_t, std::uint64_t>& used, std::uint64_t word, std::uint64_t bytes) {
    if (!used.contains(word)) {
      used_bytes_ += bytes;
      written_bytes += bytes;
    }
    used[word] = ++clock_;
  }
  void EvictOldest() {
    std::set<std::uint64_t> needed;
    for (const auto& [word, used] : kv_used_) {
      needed.insert(above_[word]);
    }
    auto* from = &state_used_;
    auto victim = state_used_.end();
    std::uint64_t oldest = clock_ + 1;
    for (auto* objects : {&state_used_, &kv_used_}) {
      for (auto at = objects->begin(); at != objects->end(); ++at) {
        if (at->second < oldest && (objects == &state_used_ || !needed.contains(at->first))) {
          oldest = at->second;
          victim = at;
          from = objects;
        }
      }
    }
    used_bytes_ -= from == &state_used_ ? options_.checkpoint_bytes : KvBytes(victim->first);
    evicted_states += from == &state_used_ ? 1 : 0;
    from->erase(victim);
  }

  const Options options_;
  std::map<std::uint64_t, std::set<std::uint64_t>> next_;
  std::map<std::uint64_t, std::uint32_t> depth_;
  std::set<std::uint64_t> cuts_;
  std::map<std::uint64_t, std::uint32_t> begin_;
  std::map<std::uint64_t, std::uint64_t> above_;
  std::map<std::uint64_t, std::uint64_t> kv_used_;  // When last.
  std::map<std::uint64_t, std::uint64_t> state_used_;
  std::uint64_t clock_ = 0;
  std::uint64_t used_bytes_ = 0;
};

Options AnyOptions(std::mt19937_64& random) {
  Options options;
  options.block_tokens = static_cast<std::uint32_t>(1 + random() % 6);
  options.checkpoint_bytes = random() % 8 == 0 ? 0 : 100 * (random() % 5);
  options.kv_bytes_per_token = random() % 8 == 0 ? 0 : random() % 20;
  options.capacity_bytes = random() % 6000;
  options.cost = {.per_token_s = 1e-3, .per_pair_s = random() % 2 == 0 ? 0 : 1e-5};
  options.learned.max_sites =
      random() % 2 == 0 ? 1000 : static_cast<std::uint32_t>(2 + random() % 12);
  return options;
}

RC_GTEST_PROP(SimulatorProperty, EnginesByRecencyAgreeWithTheModel, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  Options options = AnyOptions(random);
  options.strategy = "turn_end_demand";
  options.eviction = "lru";
  const auto trace = AnyTrace(random, *rc::gen::inRange<std::size_t>(1, 120));
  NaiveEngine naive(options);
  for (const TraceRequest& request : trace) {
    naive.Add(request);
  }
  const Report report = Run(options, trace);
  RC_ASSERT(report.overlap_tokens == naive.overlap_tokens);
  RC_ASSERT(report.served_tokens == naive.served_tokens);
  RC_ASSERT(report.bytes_written == naive.written_bytes);
  RC_ASSERT(report.evicted_checkpoints == naive.evicted_states);
}

RC_GTEST_PROP(SimulatorProperty, WithRoomForEverythingDenseServesTheOverlap, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  Options options = AnyOptions(random);
  options.strategy = "dense";
  options.eviction = *rc::gen::element<std::string>("lru", "lfu", "w_tinylfu", "value", "marconi");
  options.capacity_bytes = std::numeric_limits<std::uint64_t>::max();
  options.learned.max_sites = 1000;
  const Report report = Run(options, AnyTrace(random, 100));
  RC_ASSERT(report.served_tokens == report.overlap_tokens);
  RC_ASSERT(report.gap_tokens == 0U);
  RC_ASSERT(report.evicted_checkpoints == 0U);
}

RC_GTEST_PROP(SimulatorProperty, WhateverTheStrategyTheBooksBalance, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  Options options = AnyOptions(random);
  options.strategy = *rc::gen::element<std::string>("trie", "none", "turn_end", "turn_end_demand",
                                                    "dense", "block:16", "marconi", "two_sided:3");
  options.eviction = *rc::gen::element<std::string>("lru", "lfu", "w_tinylfu", "value", "marconi");
  options.context_tokens = random() % 2 == 0 ? 0 : 60;
  const auto trace = AnyTrace(random, 120);
  const Report report = Run(options, trace);
  RC_ASSERT(report.requests + report.refused_requests == trace.size());
  RC_ASSERT(report.served_tokens <= report.overlap_tokens);
  RC_ASSERT(report.served_tokens + report.gap_tokens == report.overlap_tokens);
  RC_ASSERT(report.overlap_tokens <= report.prompt_tokens);
  RC_ASSERT(report.peak_bytes <= options.capacity_bytes);
  RC_ASSERT(report.saved_s >= 0 && report.saved_s <= report.prefill_s * (1 + 1e-9));
  RC_ASSERT(report.evicted_checkpoints <= report.checkpoints_written);
  RC_ASSERT(report.checkpoints_written * options.checkpoint_bytes <= report.bytes_written);
  if (options.strategy == "trie" && options.eviction == "value") {
    RC_ASSERT(report.bytes_written <= report.engine_written_bytes);
  }
  const Report again = Run(options, trace);
  RC_ASSERT(again.served_tokens == report.served_tokens);
  RC_ASSERT(again.saved_s == report.saved_s);
  RC_ASSERT(again.bytes_written == report.bytes_written);
  RC_ASSERT(again.peak_bytes == report.peak_bytes);
  RC_ASSERT(again.evicted_checkpoints == report.evicted_checkpoints);
}

RC_GTEST_PROP(SimulatorProperty, TiersThatCostNothingChangeNothing, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  Options options = AnyOptions(random);
  options.strategy = *rc::gen::element<std::string>("trie", "turn_end_demand", "dense", "marconi");
  options.eviction = *rc::gen::element<std::string>("lru", "gdsf", "value", "marconi");
  const auto trace = AnyTrace(random, 120);
  const Report one = Run(options, trace);
  const std::uint64_t host = random() % (options.capacity_bytes + 1);
  options.tiers = {
      {.name = "host", .capacity_bytes = host, .bytes_per_s = 1e30},
      {.name = "ssd", .capacity_bytes = options.capacity_bytes - host, .bytes_per_s = 1e30}};
  const Report two = Run(options, trace);
  RC_ASSERT(two.served_tokens == one.served_tokens);
  RC_ASSERT(two.bytes_written == one.bytes_written);
  RC_ASSERT(two.peak_bytes == one.peak_bytes);
  RC_ASSERT(two.tiers[0].hits + two.tiers[1].hits == two.hits);
  RC_ASSERT(two.tiers[0].peak_bytes <= host);
  // With speeds that matter, loading never costs more than the prefill it saves.
  options.tiers[0].bytes_per_s = 1e4;
  options.tiers[1].bytes_per_s = 1e3;
  const Report slow = Run(options, trace);
  RC_ASSERT(slow.tiers[0].load_s + slow.tiers[1].load_s <= slow.saved_s * (1 + 1e-9));
  RC_ASSERT(slow.served_tokens + slow.gap_tokens == slow.overlap_tokens);
}

}  // namespace
}  // namespace cairn::sim

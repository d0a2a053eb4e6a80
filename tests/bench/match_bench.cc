// What one Match costs inside the daemon, without sockets: the walk of the trie under its lock.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "libcache/cache/cache.h"

namespace {

using namespace cairn;  // NOLINT(google-build-using-namespace): a program of one file.

constexpr std::uint32_t kBlock = 512;

/// A cache whose trie knows `prompts` prompts of `tokens` tokens as ghosts, and one as KV.
struct Filled {
  std::unique_ptr<Cache> cache;
  SessionId session = 0;
  NamespaceId space = 0;
  std::vector<std::vector<PrefixKey>> prompts;
};

/// Who plans: a rule, or the planner that learns; without states it learns and plans nothing.
enum Planning : std::int64_t { kRule, kLearned, kRuleWithoutStates, kLearnedWithoutStates };

Filled Fill(std::uint32_t tokens, std::uint32_t prompts, std::int64_t planning) {
  Filled filled;
  Cache::Config config;
  config.host_bytes = 64 * kMiB;
  config.index_bytes = kGiB;
  const bool learned = planning == kLearned || planning == kLearnedWithoutStates;
  config.planner = learned ? "trie" : "turn_end_demand";
  auto cache = Cache::Open(config, nullptr);
  if (!cache) {
    std::abort();
  }
  filled.cache = std::move(*cache);
  filled.session = filled.cache->BeginSession();
  NamespaceSpec spec;
  spec.model = "bench";
  spec.block_tokens = kBlock;
  spec.kv_bytes_per_token = 1;
  spec.checkpoint_bytes = planning == kRule || planning == kLearned ? 4096 : 0;
  const auto opened = filled.cache->OpenNamespace(spec);
  filled.space = opened->id;
  std::vector<std::uint32_t> text(tokens);
  for (std::uint32_t p = 0; p < prompts; ++p) {
    text[0] = p;
    filled.prompts.push_back(BlockKeys(opened->seed, text, kBlock));
    static_cast<void>(
        filled.cache->Match(filled.session, p, filled.space, filled.prompts.back(), tokens));
  }
  return filled;
}

void BM_Match(benchmark::State& state) {
  const auto tokens = static_cast<std::uint32_t>(state.range(0));
  const auto prompts = static_cast<std::uint32_t>(state.range(1));
  const Filled filled = Fill(tokens, prompts, state.range(2));
  std::size_t next = 0;
  for (auto _ : state) {
    auto match = filled.cache->Match(filled.session, 1, filled.space,
                                     filled.prompts[next++ % filled.prompts.size()], tokens);
    benchmark::DoNotOptimize(match);
  }
  state.counters["blocks"] = tokens / kBlock;
}

// The second argument makes the trie larger than the processor's caches.
BENCHMARK(BM_Match)
    ->ArgNames({"tokens", "prompts", "planning"})
    ->ArgsProduct({{8'192},
                   {1, 10'000},
                   {kRule, kLearned, kRuleWithoutStates, kLearnedWithoutStates}})
    ->ArgsProduct({{131'072},
                   {1, 2'000},
                   {kRule, kLearned, kRuleWithoutStates, kLearnedWithoutStates}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <utility>

#include "libcache/policy/eviction.h"

namespace cairn {
namespace {

constexpr const char* kNames[] = {"value", "lru", "lfu", "w_tinylfu"};

std::unique_ptr<EvictionPolicy> Full(const std::string& name, UnitId units) {
  auto policy = std::move(MakeEvictionPolicy(name)).value();
  std::mt19937_64 random(1);
  for (UnitId id = 0; id < units; ++id) {
    policy->Insert(id, {.key_word = random(),
                        .bytes = 1 + random() % 200'000'000,
                        .saved_tokens = static_cast<double>(random() % 8192)});
  }
  return policy;
}

/// What a hit costs: range(0) is the policy, range(1) the number of units.
void BM_EvictionTouch(benchmark::State& state) {
  const std::string name = kNames[state.range(0)];
  const auto units = static_cast<UnitId>(state.range(1));
  const auto policy = Full(name, units);
  std::mt19937_64 random(2);
  for (auto _ : state) {
    policy->Touch(static_cast<UnitId>(random() % units));
  }
  state.SetLabel(name);
}
BENCHMARK(BM_EvictionTouch)->ArgsProduct({{0, 1, 2, 3}, {1'000, 1'000'000}});

/// What a miss in a full cache costs: range(2) units are refused before one is accepted.
void BM_EvictionReplace(benchmark::State& state) {
  const std::string name = kNames[state.range(0)];
  const auto units = static_cast<UnitId>(state.range(1));
  const auto policy = Full(name, units);
  std::mt19937_64 random(3);
  for (auto _ : state) {
    std::int64_t refusals = state.range(2);
    const auto victim = policy->PickVictim([&](UnitId) { return refusals-- == 0; }, 1000);
    policy->Erase(*victim);
    policy->Insert(*victim, {.key_word = random(),
                             .bytes = 1 + random() % 200'000'000,
                             .saved_tokens = static_cast<double>(random() % 8192)});
  }
  state.SetLabel(name);
}
BENCHMARK(BM_EvictionReplace)->ArgsProduct({{0, 1, 2, 3}, {1'000'000}, {0, 64}});

}  // namespace
}  // namespace cairn

BENCHMARK_MAIN();

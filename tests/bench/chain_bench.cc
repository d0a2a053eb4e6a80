#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "libcache/solver/chain.h"

namespace cairn {
namespace {

enum Kind : int { kCounts, k31Bits, k53Bits };
constexpr const char* kLabels[] = {"counts", "real, 31 bits", "real, 53 bits"};

/// range(0) points with weight, range(1) what they are: whole counts by token, or decayed counts
/// and a prefill's cost, attention included, in fixed point.
std::vector<ChainPoint> Chain(const benchmark::State& state) {
  const auto size = static_cast<std::uint32_t>(state.range(0));
  std::mt19937_64 random(1);
  std::vector<RealChainPoint> real;
  std::vector<ChainPoint> whole;
  for (std::uint32_t i = 1; i <= size; ++i) {
    const std::uint64_t weight = 1 + random() % 1000;
    whole.push_back({.position = i, .potential = i, .weight = weight});
    const double tokens = i;
    real.push_back({.position = i,
                    .potential = tokens + tokens * tokens / 131'072,
                    .weight = static_cast<double>(weight) / 3});
  }
  if (state.range(1) == kCounts) {
    return whole;
  }
  return std::move(ToFixedChain(real, state.range(1) == k31Bits ? 31 : 53)).value().points;
}

/// The price at which about range(2) checkpoints are bought: with even weights, m of them leave
/// baseline / (m + 1).
void BM_ChainPriced(benchmark::State& state) {
  const auto points = Chain(state);
  const auto everything = CostOfPositions(points, {}).value();
  const ChainCost wanted = state.range(2);
  const ChainCost price = everything / (wanted * wanted);
  std::size_t bought = 0;
  for (auto _ : state) {
    bought = PlacePriced(points, price)->positions.size();
    benchmark::DoNotOptimize(bought);
  }
  state.SetLabel(kLabels[state.range(1)]);
  state.counters["checkpoints"] = static_cast<double>(bought);
}
BENCHMARK(BM_ChainPriced)
    ->ArgsProduct({{131'072}, {kCounts, k31Bits, k53Bits}, {10, 100, 2000}})
    ->Args({2048, kCounts, 30})
    ->Unit(benchmark::kMillisecond);

/// All counts up to range(2).
void BM_ChainTable(benchmark::State& state) {
  const auto points = Chain(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        ChainTable::Solve(points, static_cast<std::size_t>(state.range(2)))->MinCount());
  }
  state.SetLabel(kLabels[state.range(1)]);
}
BENCHMARK(BM_ChainTable)
    ->Args({256, k53Bits, 5})
    ->Args({2000, kCounts, 30})
    ->Args({2000, k53Bits, 30})
    ->Args({4096, k53Bits, 64})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn

BENCHMARK_MAIN();

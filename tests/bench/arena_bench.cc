#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/tier/arena.h"

namespace cairn {
namespace {

std::unique_ptr<Arena> MakeArena(std::uint64_t capacity_bytes) {
  return std::move(Arena::Create({.capacity_bytes = capacity_bytes, .huge_pages = false})).value();
}

/// Slots of two sizes, a random half of them free: range(0) slots in all.
struct Scattered {
  explicit Scattered(std::int64_t slots) {
    const auto count = static_cast<std::uint32_t>(slots);
    arena = MakeArena(RoundUp(count * (64 * kKiB + 4 * kKiB) + 2 * kMiB, 2 * kMiB));
    for (std::uint32_t i = 0; i < count; ++i) {
      offsets.push_back(arena->Allocate(i % 4 == 0 ? 64 * kKiB : 16 * kKiB, i).value());
    }
    std::shuffle(offsets.begin(), offsets.end(), random);
    for (; offsets.size() > count / 2; offsets.pop_back()) {
      arena->Free(offsets.back());
    }
  }

  std::mt19937_64 random{1};
  std::unique_ptr<Arena> arena;
  std::vector<std::uint64_t> offsets;
};

void BM_ArenaAllocateFree(benchmark::State& state) {
  Scattered s(state.range(0));
  for (auto _ : state) {
    auto& offset = s.offsets[s.random() % s.offsets.size()];
    const std::uint64_t bytes = s.arena->Header(offset).payload_bytes;
    s.arena->Free(offset);
    offset = s.arena->Allocate(bytes, 0).value();
  }
}
BENCHMARK(BM_ArenaAllocateFree)->Arg(1'000)->Arg(100'000);

void BM_ArenaCheapestWindow(benchmark::State& state) {
  const Scattered s(state.range(0));
  const auto cost = [](std::uint32_t owner) { return static_cast<double>(owner % 1009); };
  for (auto _ : state) {
    benchmark::DoNotOptimize(s.arena->CheapestWindow(4 * kMiB, cost));
  }
}
BENCHMARK(BM_ArenaCheapestWindow)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cairn

BENCHMARK_MAIN();

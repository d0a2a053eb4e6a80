// What it costs to decide for a whole trie at one price, by shape; once, and for a byte budget.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

#include "libcache/solver/trie_budget.h"
#include "libcache/solver/trie_solver.h"

namespace {

using namespace cairn;  // NOLINT(google-build-using-namespace): a program of one file.

/// The number in a benchmark's name.
enum Shape : std::int64_t { kRecursive, kCaterpillar, kChain, kStar, kTrace, kBroom };

struct Trie {
  std::vector<std::uint32_t> parent = {0};
  std::vector<double> potential = {0};
  std::vector<double> weight = {0};
  std::vector<std::uint64_t> checkpoint_bytes = {0};
  std::vector<std::uint64_t> kv_bytes = {0};
  std::vector<double> depth_tokens = {0};

  std::uint32_t Add(std::uint32_t to, double tokens, double requests) {
    const double depth = depth_tokens[to] + tokens;
    parent.push_back(to);
    depth_tokens.push_back(depth);
    // Linear layers, and attention over what came before: twice as dear at 64 Ki tokens.
    potential.push_back(depth * (1 + depth / 131072));
    weight.push_back(requests);
    checkpoint_bytes.push_back(48U << 20U);
    kv_bytes.push_back(static_cast<std::uint64_t>(tokens) << 15U);
    return static_cast<std::uint32_t>(parent.size() - 1);
  }
  [[nodiscard]] TrieInstance View() const {
    return {.parent = parent,
            .potential = potential,
            .weight = weight,
            .checkpoint_bytes = checkpoint_bytes,
            .kv_bytes = kv_bytes,
            .allowed = {},
            .fetch = {}};
  }
};

/// Conversations under a few system prompts: each turn is some blocks, few requests end inside.
void GrowTrace(Trie& trie, std::size_t nodes, std::mt19937_64& random) {
  std::exponential_distribution<double> rate(1.0);
  std::vector<std::uint32_t> turn_ends = {0};
  while (trie.parent.size() < nodes) {
    // Mostly the latest conversations go on, sometimes an old one or a new one.
    const std::size_t recent = std::min<std::size_t>(turn_ends.size(), 4096);
    const std::size_t back = random() % 16 == 0 ? turn_ends.size() : recent;
    std::uint32_t at = turn_ends[turn_ends.size() - 1 - random() % back];
    const std::size_t blocks = 1 + random() % 12;
    for (std::size_t b = 0; b < blocks && trie.parent.size() < nodes; ++b) {
      at = trie.Add(at, 512, b + 1 == blocks ? rate(random) : 0);
    }
    turn_ends.push_back(at);
  }
}

const Trie& TrieOf(Shape shape, std::size_t nodes) {
  static Trie trie;
  static Shape made = kRecursive;
  if (trie.parent.size() == nodes && made == shape) {
    return trie;
  }
  trie = Trie();
  made = shape;
  std::mt19937_64 random(1);
  std::exponential_distribution<double> rate(1.0);
  if (shape == kTrace) {
    GrowTrace(trie, nodes, random);
    return trie;
  }
  for (std::size_t v = 1; v < nodes; ++v) {
    std::size_t to = 0;
    switch (shape) {
      case kRecursive: to = random() % v; break;
      case kCaterpillar: to = v < 3 ? 0 : (v - 1) / 2 * 2 - 1; break;  // Odd: the spine.
      case kChain: to = v - 1; break;
      case kBroom: to = v == 1 ? 0 : 1; break;
      default: break;
    }
    // Long paths in short steps, or the deepest would be beyond any context.
    const bool deep = shape == kChain || shape == kCaterpillar;
    const double tokens = deep ? 1 : static_cast<double>(16 + random() % 512);
    trie.Add(static_cast<std::uint32_t>(to), tokens, rate(random));
  }
  return trie;
}

/// Tokens of prefill per checkpoint: at 64 much is kept, at 65536 little.
double PriceOf(const benchmark::State& state) {
  return static_cast<double>(state.range(2)) / static_cast<double>(48U << 20U);
}

template <bool Joint>
void SolveAtPrice(benchmark::State& state) {
  const auto nodes = static_cast<std::size_t>(state.range(1));
  const Trie& trie = TrieOf(static_cast<Shape>(state.range(0)), nodes);
  const TrieInstance view = trie.View();
  TrieSolver solver;
  std::size_t kept = 0;
  for (auto _ : state) {
    auto plan =
        Joint ? solver.SolveJoint(view, PriceOf(state)) : solver.SolveTrie(view, PriceOf(state));
    if (!plan) {
      std::abort();
    }
    kept = plan->checkpoints.size();
    benchmark::DoNotOptimize(plan);
  }
  state.counters["kept"] = static_cast<double>(kept);
  state.counters["bytes_per_node"] =
      static_cast<double>(solver.memory_bytes() + kept * sizeof(std::uint32_t)) /
      static_cast<double>(nodes);
}

void Shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"shape", "nodes", "price"})->Unit(benchmark::kMillisecond);
  for (const auto shape : {kRecursive, kCaterpillar, kChain, kStar, kTrace, kBroom}) {
    for (const int price : {64, 2048, 65536}) {
      bench->Args({shape, 1000000, price});
    }
  }
}
/// A tenth of the bytes that all of it would need.
template <bool Joint>
void SolveWithinBudget(benchmark::State& state) {
  const Trie& trie =
      TrieOf(static_cast<Shape>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  const TrieInstance view = trie.View();
  const auto all = Joint ? SolveJoint(view, 0) : SolveTrie(view, 0);
  if (!all) {
    std::abort();
  }
  double price = 0;
  for (auto _ : state) {
    auto best = Joint ? SolveJointForBudget(view, all->bytes / 10)
                      : SolveTrieForBudget(view, all->bytes / 10);
    if (!best) {
      std::abort();
    }
    price = best->price_per_byte;
    benchmark::DoNotOptimize(best);
  }
  state.counters["price"] = price * static_cast<double>(48U << 20U);
}

BENCHMARK(SolveAtPrice<false>)->Name("states")->Apply(Shapes);
BENCHMARK(SolveAtPrice<true>)->Name("joint")->Apply(Shapes);

void BudgetShapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"shape", "nodes"})->Unit(benchmark::kMillisecond);
  for (const auto shape : {kRecursive, kCaterpillar, kTrace}) {
    for (const int nodes : {10000, 1000000}) {
      bench->Args({shape, nodes});
    }
  }
}
BENCHMARK(SolveWithinBudget<false>)->Name("states_budget")->Apply(BudgetShapes);
BENCHMARK(SolveWithinBudget<true>)->Name("joint_budget")->Apply(BudgetShapes);

}  // namespace

BENCHMARK_MAIN();

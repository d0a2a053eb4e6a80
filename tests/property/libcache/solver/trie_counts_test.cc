#include "libcache/solver/trie_counts.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

#include "libcache/solver/trie_budget.h"
#include "tests/property/libcache/solver/trie_reference.h"

namespace cairn {
namespace {

using trie_reference::Cost;
using trie_reference::DrawTrie;
using trie_reference::ForEachSet;
using trie_reference::Shape;
using trie_reference::TrieData;

template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

Shape AnyShape(std::size_t most) {
  Shape shape;
  shape.nodes = Draw<std::size_t>(1, most + 1);
  shape.kind = static_cast<Shape::Kind>(Draw<int>(0, 4));
  shape.grid = Draw<int>(0, 2) == 1;
  shape.fetch = Draw<int>(0, 2) == 1 ? 12 : 0;
  return shape;
}

RC_GTEST_PROP(TrieCounts, NoSetOfThatManyIsCheaper, ()) {
  const Shape shape = AnyShape(10);
  const auto seed = Draw<std::uint64_t>(0, UINT64_MAX - 10);
  const auto max_count = Draw<std::size_t>(0, 12);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const TrieData data = DrawTrie(shape, seed + i);
    std::vector<double> least(data.Size(), std::numeric_limits<double>::infinity());
    ForEachSet(data.View(), false, [&](const Cost& cost) {
      least[cost.count] = std::min(least[cost.count], cost.recompute);
    });
    least.resize(std::min(max_count + 1, least.size()));
    while (least.back() == std::numeric_limits<double>::infinity()) {
      least.pop_back();  // More than may stand somewhere.
    }
    RC_ASSERT(LeastCostByCount(data.View(), max_count).value() == least);
  }
}

// What a price reaches is what the table says; what none reaches lies above.
RC_GTEST_PROP(TrieCounts, TheHullTouchesTheTable, ()) {
  TrieData data = DrawTrie(AnyShape(120), Draw<std::uint64_t>(0, UINT64_MAX));
  data.checkpoint_bytes.clear();
  const std::vector<double> table = LeastCostByCount(data.View(), data.Size()).value();
  const CostHull hull = TrieCostHull(data.View(), 1000).value();
  RC_ASSERT(hull.complete);
  RC_ASSERT(hull.points.back().checkpoints == 0U);
  for (const HullPoint& point : hull.points) {
    RC_ASSERT(point.checkpoints == point.bytes);
    RC_ASSERT(table[point.checkpoints] == point.recompute);
    for (std::size_t m = 0; m < table.size(); ++m) {
      const double line =
          point.recompute +
          point.price_per_byte * (static_cast<double>(point.bytes) - static_cast<double>(m));
      RC_ASSERT(table[m] >= line - 1e-9 * std::abs(line));
    }
  }
}

}  // namespace
}  // namespace cairn

#include "libcache/solver/trie_counts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "libcache/solver/trie_budget.h"
#include "tests/property/libcache/solver/trie_reference.h"

namespace cairn {
namespace {

using Json = nlohmann::json;
using trie_reference::TrieData;

// Made by another program, which tried every set of that many nodes; the root is not one of them.
TEST(TrieCountsTest, ReachesEveryGoldenCount) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/trie_placement.json");
  std::size_t checked = 0;
  for (const Json& json : Json::parse(file)) {
    if (!json.contains("min_cost_by_count")) {
      continue;
    }
    TrieData trie;
    for (const int parent : json.at("parent")) {
      trie.parent.push_back(parent < 0 ? 0 : static_cast<std::uint32_t>(parent));
    }
    trie.potential = json.at("potential").get<std::vector<double>>();
    trie.weight = json.at("weight").get<std::vector<double>>();
    const auto golden = json.at("min_cost_by_count").get<std::vector<double>>();
    const auto least = LeastCostByCount(trie.View(), trie.Size());
    ASSERT_TRUE(least);
    ASSERT_EQ(least->size(), golden.size()) << json.at("name");
    for (std::size_t m = 0; m < golden.size(); ++m) {
      EXPECT_NEAR((*least)[m], golden[m], 1e-9 * golden[m]) << json.at("name") << " " << m;
      ++checked;
    }
    const auto hull = TrieCostHull(trie.View(), 100);
    ASSERT_TRUE(hull);
    for (const HullPoint& point : hull->points) {
      EXPECT_NEAR(point.recompute, golden[point.checkpoints], 1e-9 * point.recompute);
    }
  }
  EXPECT_GT(checked, 250U);
}

TEST(TrieCountsTest, SmallestTries) {
  EXPECT_EQ(LeastCostByCount(TrieInstance(), 3).value(), std::vector<double>({0}));
  const TrieData root{{0}, {7}, {3}, {}, {}, {}, {}};
  EXPECT_EQ(LeastCostByCount(root.View(), 3).value(), std::vector<double>({0}));
  TrieData one{{0, 0}, {7, 9}, {3, 5}, {}, {}, {}, {}};
  EXPECT_EQ(LeastCostByCount(one.View(), 3).value(), std::vector<double>({10, 0}));
  EXPECT_EQ(LeastCostByCount(one.View(), 0).value(), std::vector<double>({10}));
  one.allowed = {1, 0};
  EXPECT_EQ(LeastCostByCount(one.View(), 3).value(), std::vector<double>({10}));
}

TEST(TrieCountsTest, AChainOfThousandsForSmallCounts) {
  TrieData chain;
  for (std::uint32_t v = 0; v < 2000; ++v) {
    chain.parent.push_back(v == 0 ? 0 : v - 1);
    chain.potential.push_back(v);
    chain.weight.push_back(v == 0 ? 0 : 1);
  }
  const auto least = LeastCostByCount(chain.View(), 4);
  ASSERT_TRUE(least);
  // 2,000 places in m + 1 equal runs, each costing 0 + 1 + .. to its last.
  EXPECT_EQ((*least)[0], 1999.0 * 2000 / 2);
  EXPECT_EQ((*least)[1], 2 * (999.0 * 1000 / 2));
  EXPECT_EQ((*least)[3], 4 * (499.0 * 500 / 2));
  EXPECT_EQ((*least)[4], 5 * (399.0 * 400 / 2));
}

TEST(TrieCountsTest, RefusesWhatIsTooMuchForATable) {
  TrieData chain;
  for (std::uint32_t v = 0; v < 20000; ++v) {
    chain.parent.push_back(v == 0 ? 0 : v - 1);
    chain.potential.push_back(v);
    chain.weight.push_back(1);
  }
  const auto least = LeastCostByCount(chain.View(), 100);
  ASSERT_FALSE(least);
  EXPECT_EQ(least.error().message,
            "max_count: 20000 nodes, paths of 19999 and counts to 100 are too much for a table");
  chain.weight[7] = -1;
  EXPECT_EQ(LeastCostByCount(chain.View(), 1).error().message,
            "weight[7]: must be finite and not negative");
}

}  // namespace
}  // namespace cairn

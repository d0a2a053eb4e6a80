#include "libcache/solver/trie_solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/property/libcache/solver/trie_reference.h"

namespace cairn {
namespace {

using Json = nlohmann::json;
using trie_reference::AsMask;
using trie_reference::CostOf;
using trie_reference::TrieData;
using Nodes = std::vector<std::uint32_t>;

Json Golden(const std::string& name) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/" + name);
  return Json::parse(file);
}

TrieData FromGolden(const Json& json) {
  TrieData trie;
  for (const int parent : json.at("parent")) {
    trie.parent.push_back(parent < 0 ? 0 : static_cast<std::uint32_t>(parent));
  }
  trie.potential = json.at("potential").get<std::vector<double>>();
  trie.weight = json.at("weight").get<std::vector<double>>();
  if (json.contains("kv_bytes")) {
    trie.kv_bytes = json.at("kv_bytes").get<std::vector<std::uint64_t>>();
    trie.checkpoint_bytes.assign(trie.Size(), json.at("state_bytes").get<std::uint64_t>());
  }
  return trie;
}

void ExpectGolden(const std::string& name, bool joint) {
  std::size_t checked = 0;
  for (const Json& json : Golden(name)) {
    const TrieData data = FromGolden(json);
    const TrieInstance trie = data.View();
    for (const Json& priced : json.at("priced")) {
      const double price = priced.at("price");
      const double objective = priced.at("objective");
      const auto plan = joint ? SolveJoint(trie, price) : SolveTrie(trie, price);
      ASSERT_TRUE(plan) << json.at("name");
      EXPECT_NEAR(plan->objective, objective, 1e-9 * objective) << json.at("name") << " " << price;
      const auto cost = CostOf(trie, AsMask(plan->checkpoints, trie.Size()), joint);
      EXPECT_NEAR(cost.Objective(price), objective, 1e-9 * objective) << json.at("name");
      EXPECT_EQ(cost.bytes, plan->bytes);
      ++checked;
    }
  }
  EXPECT_GT(checked, 150U);
}

// Made by another program, small ones by trying every set.
TEST(TrieSolverTest, ReachesEveryGoldenObjective) { ExpectGolden("trie_placement.json", false); }
TEST(TrieSolverTest, ReachesEveryGoldenJointObjective) { ExpectGolden("trie_joint.json", true); }

TEST(TrieSolverTest, AnEmptyTrieAndALoneRootKeepNothing) {
  for (const bool joint : {false, true}) {
    const TrieInstance empty;
    const auto plan = joint ? SolveJoint(empty, 1) : SolveTrie(empty, 1);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->objective, 0);
    EXPECT_EQ(plan->checkpoints, Nodes());
    const TrieData root{{0}, {5}, {3}, {}, {}, {}, {}};
    const auto alone = joint ? SolveJoint(root.View(), 1) : SolveTrie(root.View(), 1);
    ASSERT_TRUE(alone);
    EXPECT_EQ(alone->objective, 0) << "the root is free and serves its own requests";
    EXPECT_EQ(alone->checkpoints, Nodes());
  }
}

// A system prompt of potential 10, where two requests fork off, under three questions for two each.
TrieData Questions() {
  return {{0, 0, 1, 1, 1}, {0, 10, 16, 16, 16}, {0, 2, 2, 2, 2}, {}, {0, 5, 3, 3, 3}, {}, {}};
}

TEST(TrieSolverTest, KeepsTheSharedPrefixFirst) {
  const TrieData questions = Questions();
  EXPECT_EQ(SolveTrie(questions.View(), 100)->checkpoints, Nodes()) << "nothing is worth 100";
  EXPECT_EQ(SolveTrie(questions.View(), 79)->checkpoints, Nodes({1})) << "saves all eight 10";
  EXPECT_EQ(SolveTrie(questions.View(), 13)->checkpoints, Nodes({1}));
  EXPECT_EQ(SolveTrie(questions.View(), 11)->checkpoints, Nodes({1, 2, 3, 4}));
  EXPECT_EQ(SolveTrie(questions.View(), 0)->checkpoints, Nodes({1, 2, 3, 4}));
  // With one at each question and no fork elsewhere, the prompt's own serves nobody.
  TrieData data = Questions();
  data.weight[1] = 0;
  EXPECT_EQ(SolveTrie(data.View(), 0)->checkpoints, Nodes({2, 3, 4}));
}

TEST(TrieSolverTest, ATieKeepsFewerBytes) {
  const TrieData questions = Questions();
  EXPECT_EQ(SolveTrie(questions.View(), 80)->checkpoints, Nodes());
  EXPECT_EQ(SolveTrie(questions.View(), 12)->checkpoints, Nodes({1}));
  EXPECT_EQ(SolveJoint(questions.View(), 3)->checkpoints, Nodes({1}));
}

TEST(TrieSolverTest, JointKeepsTheKvOfTheWholePath) {
  const TrieData questions = Questions();
  const auto plan = SolveJoint(questions.View(), 1);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->checkpoints, Nodes({1, 2, 3, 4}));
  EXPECT_EQ(plan->kept_kv, Nodes({1, 2, 3, 4}));
  EXPECT_EQ(plan->bytes, 6U + 3 * 4U);
  EXPECT_EQ(plan->objective, 18);
  const auto dear = SolveJoint(questions.View(), 4);
  EXPECT_EQ(dear->checkpoints, Nodes({1})) << "a question saves 12 for a state of 4 and KV of 12";
  EXPECT_EQ(dear->kept_kv, Nodes({1}));
  EXPECT_EQ(SolveJoint(questions.View(), 14)->kept_kv, Nodes()) << "80 for 6 bytes";
}

TEST(TrieSolverTest, JointWithoutStateBytesDecidesAboutPrefixesAlone) {
  TrieData data = Questions();
  data.checkpoint_bytes.assign(5, 0);
  const auto plan = SolveJoint(data.View(), 4.5);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->kept_kv, Nodes({1}));
  EXPECT_EQ(plan->objective, 5 * 4.5 + 36);
}

TEST(TrieSolverTest, KvThatCostsNothingIsNotKeptForNothing) {
  TrieData data = Questions();
  data.kv_bytes.assign(5, 0);
  const auto plan = SolveJoint(data.View(), 1000);
  EXPECT_EQ(plan->kept_kv, Nodes());
  EXPECT_EQ(plan->checkpoints, Nodes());
}

TEST(TrieSolverTest, StaysOnTheGrid) {
  TrieData data = Questions();
  data.allowed = {0, 0, 1, 1, 0};
  EXPECT_EQ(SolveTrie(data.View(), 1)->checkpoints, Nodes({2, 3}));
  EXPECT_EQ(SolveJoint(data.View(), 1)->kept_kv, Nodes({1, 2, 3}));
}

// The deep one is on a slow tier: it is worth its bytes only without the shallow one.
TEST(TrieSolverTest, ADeeperCheckpointMayOfferLess) {
  TrieData chain{{0, 0, 1}, {0, 10, 14}, {0, 0, 1}, {0, 3, 1}, {}, {}, {0, 1, 7}};
  EXPECT_EQ(SolveTrie(chain.View(), 0.5)->checkpoints, Nodes({1})) << "9 for 1.5 beats 7 for 0.5";
  EXPECT_EQ(SolveTrie(chain.View(), 2)->checkpoints, Nodes({2}));
  EXPECT_EQ(SolveTrie(chain.View(), 7)->checkpoints, Nodes());
  chain.weight = {0, 5, 1};
  EXPECT_EQ(SolveTrie(chain.View(), 0.5)->checkpoints, Nodes({1}));
}

TEST(TrieSolverTest, ModelsWithCheckpointsOfSeveralSizesShareOnePrice) {
  TrieData data = Questions();
  data.checkpoint_bytes = {0, 100, 1, 20, 3};
  EXPECT_EQ(SolveTrie(data.View(), 0.7)->checkpoints, Nodes({2, 3, 4}));
  EXPECT_EQ(SolveTrie(data.View(), 1.5)->checkpoints, Nodes({2, 3, 4}));
  EXPECT_EQ(SolveTrie(data.View(), 2)->checkpoints, Nodes({2, 4}));
}

TEST(TrieSolverTest, RefusesWhatIsNotATrie) {
  const TrieData questions = Questions();
  TrieData data = Questions();
  data.weight[3] = -1;
  for (const bool joint : {false, true}) {
    const auto plan = joint ? SolveJoint(data.View(), 1) : SolveTrie(data.View(), 1);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().message, "weight[3]: must be finite and not negative");
    const auto unpriced =
        joint ? SolveJoint(questions.View(), -1) : SolveTrie(questions.View(), -1);
    ASSERT_FALSE(unpriced);
    EXPECT_EQ(unpriced.error().code, ErrorCode::kInvalidArgument);
  }
}

// Recursion would end here.
TEST(TrieSolverTest, ChainsStarsAndBroomsOfManyNodes) {
  constexpr std::size_t kNodes = 300000;
  for (const int shape : {0, 1, 2}) {
    TrieData data;
    for (std::size_t v = 0; v < kNodes; ++v) {
      const std::size_t before = v == 0 ? 0 : v - 1;
      const std::size_t parent =
          shape == 0 ? before : (shape == 1 ? 0 : std::min(before, kNodes / 2));
      data.parent.push_back(static_cast<std::uint32_t>(parent));
      data.potential.push_back(v == 0 ? 0
                                      : data.potential[parent] + 1 + static_cast<double>(v % 7));
      data.weight.push_back(static_cast<double>(v % 5));
    }
    TrieSolver solver;
    const auto states = solver.SolveTrie(data.View(), 50);
    ASSERT_TRUE(states);
    const auto again = solver.SolveJoint(data.View(), 50);  // No KV: the same problem.
    ASSERT_TRUE(again);
    EXPECT_EQ(states->objective, again->objective) << shape;
    EXPECT_EQ(states->checkpoints, again->checkpoints) << shape;
    EXPECT_LE(solver.memory_bytes(), 200 * kNodes) << "72 for one form and 128 for the other";
  }
}

// Figures of real size: microseconds, bytes, rates, none of them a whole number.
TEST(TrieSolverTest, HugeAndTinyNumbersMeet) {
  TrieData data{{0, 0, 1, 1, 3},
                {0, 1e9, 1e9 + 1, 3e9, 3.5e9},
                {0, 1e-9, 1e9, 1e-3, 1e-12},
                {0, 50000000, 50000000, 50000000, 50000000},
                {0, 1, 1, 1, 1},
                {},
                {}};
  for (const double price : {0.0, 1e-300, 1e-12, 1e-3, 1.0, 1e9, 1e300}) {
    for (const bool joint : {false, true}) {
      const auto plan = joint ? SolveJoint(data.View(), price) : SolveTrie(data.View(), price);
      ASSERT_TRUE(plan);
      const double least = trie_reference::LeastObjective(data.View(), price, joint);
      EXPECT_LE(plan->objective, least * (1 + 1e-9)) << price;
      EXPECT_TRUE(std::isfinite(plan->objective));
    }
  }
}

}  // namespace
}  // namespace cairn

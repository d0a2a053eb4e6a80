// cairn-sim published: on a run small enough to be counted by hand, and on a real one where it lies
// beside the checkout.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/integration/cairn_sim_fixture.h"

namespace cairn::test {
namespace {

using nlohmann::json;

class CairnSimPublishedTest : public CairnSimTest {
 protected:
  /// Six prompts of 1,024 tokens, in two groups by turns, which part from their group at `parts`.
  /// The cache holds two prompts: the one of the other group, and the last one of the own.
  void WriteRun(const std::vector<int>& parts, const std::string& strategies) {
    std::string run =
        R"({"type": "header", "name": "synthetic_fixed", "K": 2, "n_train": 2, "rule": "LCP",)"
        R"( "max_len": 1024, "block": 64, "gamma": 0.99, "replan_interval": 10})"
        "\n";
    for (std::size_t i = 0; i < parts.size(); ++i) {
      run += R"({"type": ")" + std::string(i < 2 ? "train" : "req") + R"(", "group": )" +
             std::to_string(i % 2) + R"(, "len": 1024, "L": )" + std::to_string(parts[i]) + "}\n";
    }
    WriteFile(dir_ / "synthetic_fixed.jsonl", run);
    WriteFile(dir_ / "synthetic_fixed.reference.json",
              R"({"name": "synthetic_fixed", "strategies": {)" + strategies + "}}");
  }
  static std::string Strategy(const std::string& name, int hits, int saved) {
    return "\"" + name + R"(": {"hits": )" + std::to_string(hits) + R"(, "tokens_saved": )" +
           std::to_string(saved) + R"(, "tokens_total": 4096})";
  }
  Ran Published(const std::string& folder, const std::string& run) {
    return Sim({"published", "--json", "--folder", folder, "--runs", run});
  }
};

// Two prompts of a group overlap in the smaller of where they part, so the four that are measured
// overlap in 500, 300, 600 and 300 with the one before them. The one in the middle stands at 512,
// and of those without a use of it the published rule counts position 0 as a hit.
TEST_F(CairnSimPublishedTest, AFolderCountedByHandIsReproduced) {
  WriteRun({500, 300, 600, 300, 700, 300},
           Strategy("no_cache", 0, 0) + ", " + Strategy("block_64", 4, 448 + 256 + 576 + 256) +
               ", " + Strategy("block_256", 4, 256 + 256 + 512 + 256) + ", " +
               Strategy("balanced_1", 4, 512));
  const Ran ran = Published(dir_ / ".", "synthetic_fixed");
  ASSERT_EQ(ran.code, 0) << ran.err << ran.out;
  const json report = ran.Json();
  EXPECT_EQ(report.at("checkable"), 3) << "without a cache there is nothing to check";
  EXPECT_EQ(report.at("exact"), 3) << ran.out;
  EXPECT_EQ(report.at("equal_bytes"), json::array()) << "the table has no row for this run";
  for (const json& replay : report.at("replays")) {
    EXPECT_EQ(replay.at("run"), "synthetic_fixed");
    EXPECT_EQ(replay.at("delta"), 0) << replay;
  }
}

TEST_F(CairnSimPublishedTest, ARunThatDiffersFailsAndIsShown) {
  WriteRun({500, 300, 600, 300, 700, 300}, Strategy("block_64", 4, 448));
  const Ran ran = Published(dir_ / ".", "synthetic_fixed");
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find("1 runs differ"), std::string::npos) << ran.err;
  EXPECT_EQ(json::parse(ran.out).at("replays")[0].at("exact"), false);
}

TEST_F(CairnSimPublishedTest, BrokenFoldersAreNamed) {
  ExpectRefused({"published", "--json", "--folder", dir_ / "none"}, 1, "none");
  ExpectRefused({"published", "--json", "--folder", dir_ / ".", "--runs", "mine"}, 1,
                "synthetic_fixed");
  WriteRun({500, 300, 600}, "");
  WriteFile(dir_ / "synthetic_fixed.reference.json", "{\"strategies\": ");
  ExpectRefused({"published", "--json", "--folder", dir_ / ".", "--runs", "synthetic_fixed"}, 1,
                "synthetic_fixed.reference.json");
  WriteFile(dir_ / "synthetic_fixed.jsonl", "{\"type\": \"header\"");
  ExpectRefused({"published", "--json", "--folder", dir_ / ".", "--runs", "synthetic_fixed"}, 1,
                "synthetic_fixed.jsonl");
}

TEST_F(CairnSimPublishedTest, ARealRunIsReproduced) {
  const std::string folder = CAIRN_SOURCE_DIR "/../shared/published";
  if (!std::filesystem::exists(folder + "/system_prompts_clean.jsonl")) {
    GTEST_SKIP() << "NOT CHECKED: the published runs are not in " << folder
                 << "; cairn-sim published was tested on a run of our own only";
  }
  const Ran ran = Published(folder, "system_prompts_clean");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json report = ran.Json();
  EXPECT_GT(report.at("checkable"), 20);
  EXPECT_EQ(report.at("exact"), report.at("checkable"));
  for (const json& row : report.at("equal_bytes")) {
    const json& ours = row.at("cells").back();
    EXPECT_EQ(ours.at("column"), "ours");
    EXPECT_GE(ours.at("share"), ours.at("reference"));
  }
  EXPECT_EQ(report.at("equal_bytes").size(), 2U);
}

}  // namespace
}  // namespace cairn::test

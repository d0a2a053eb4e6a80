#include "libcache/published/report.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace cairn {
namespace {

// The published traces are not part of this repository: they have no licence that would allow it.
const std::string kFolder = CAIRN_SOURCE_DIR "/../shared/published";

bool Missing() { return !std::filesystem::exists(kFolder + "/quality_sim.jsonl"); }

#define SKIP_WITHOUT_RUNS()                                                  \
  if (Missing()) {                                                           \
    GTEST_SKIP() << "NOT CHECKED: the published runs are not in " << kFolder \
                 << "; the replay was tested on runs of our own only";       \
  }                                                                          \
  static_assert(true)

TEST(PublishedReportTest, RunsThatCanBeCheckedAreReplayedToTheToken) {
  SKIP_WITHOUT_RUNS();
  PublishedOptions options = {.folder = kFolder, .runs = {}, .equal_bytes = false};
#ifdef CAIRN_SANITIZED
  options.runs = {"system_prompts_clean", "synthetic_uniform"};
  const std::size_t checkable = 50;
#else
  const std::size_t checkable = 105 + 13 + 75;  // Recorded, of NarrativeQA, synthetic.
#endif
  const auto report = std::move(ReplayPublished(options)).value();
  EXPECT_EQ(report.Checkable(), checkable);
  EXPECT_EQ(report.Exact(), checkable) << PublishedText(report);
  for (const PublishedReplay& replay : report.replays) {
    if (!replay.checkable && replay.reference_tokens > 0) {
      EXPECT_LT(std::abs(static_cast<double>(replay.Delta())),
                0.0023 * static_cast<double>(replay.reference_tokens))
          << replay.run << " " << replay.strategy;
    }
  }
}

TEST(PublishedReportTest, OursSavesTheMostInEqualBytes) {
  SKIP_WITHOUT_RUNS();
  const auto report =
      std::move(ReplayPublished({.folder = kFolder, .runs = {}, .replays = false})).value();
  EXPECT_EQ(report.equal_bytes.size(), 7U);
  for (const EqualBytesRow& row : report.equal_bytes) {
    ASSERT_EQ(row.cells.size(), 8U);
    for (const EqualBytesCell& cell : row.cells) {
      SCOPED_TRACE(row.run + " " + std::to_string(row.capacity_gb) + " " + cell.column);
      if (cell.column == "ours") {
        EXPECT_GE(cell.share, cell.reference);
      } else {
        // 46 of 49 agree to the three digits that are known; the rules of three are not known
        // whole.
        EXPECT_NEAR(cell.share, cell.reference, 0.0025);
      }
      EXPECT_LE(cell.share, row.cells.back().share);
    }
  }
}

PublishedReport SmallReport() {
  PublishedReport report;
  report.replays.push_back({.run = "r",
                            .strategy = "dp_5",
                            .total_tokens = 100,
                            .reference_tokens = 64,
                            .tokens = 64,
                            .reference_hits = 1,
                            .hits = 1,
                            .different_requests = 0});
  report.replays.push_back(report.replays.front());
  report.replays.back().strategy = "sq\xff";
  report.replays.back().tokens = 0;
  report.equal_bytes.push_back({.run = "r",
                                .capacity_gb = 0.25,
                                .cells = {{.column = "ours", .share = 0.5, .reference = 0.25}}});
  return report;
}

TEST(PublishedReportTest, TextSaysWhatDiffers) {
  const std::string text = PublishedText(SmallReport());
  EXPECT_NE(text.find("1 of 2 runs that can be checked are exact."), std::string::npos) << text;
  EXPECT_NE(text.find("DIFFERS"), std::string::npos);
  EXPECT_NE(text.find("0.5000 (+0.2500)"), std::string::npos);
  EXPECT_EQ(PublishedText({}), "Nothing was asked for.\n");
}

TEST(PublishedReportTest, JsonHasTheSameNumbers) {
  const auto document = nlohmann::json::parse(PublishedJson(SmallReport()));
  EXPECT_EQ(document["checkable"], 2);
  EXPECT_EQ(document["exact"], 1);
  EXPECT_EQ(document["replays"][1]["delta"], -64);
  EXPECT_EQ(document["replays"][0]["exact"], true);
  EXPECT_EQ(document["equal_bytes"][0]["cells"][0]["share"], 0.5);
}

TEST(PublishedReportTest, RefusesAnUnknownRunAndAMissingFolder) {
  const auto unknown = ReplayPublished({.folder = "/nonexistent", .runs = {"quality"}});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("quality_sim"), std::string::npos);
  const auto missing = ReplayPublished({.folder = "/nonexistent", .runs = {"quality_sim"}});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cairn

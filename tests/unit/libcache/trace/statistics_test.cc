#include "libcache/trace/statistics.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace cairn {
namespace {

TraceRequest At(double arrival_s, std::vector<TraceSegment> path) {
  TraceRequest request{.arrival_s = arrival_s};
  request.exact = true;
  request.output_tokens = 5;
  request.path = std::move(path);
  for (const TraceSegment& segment : request.path) {
    request.input_tokens += segment.tokens;
  }
  return request;
}

// A system prompt of 100 tokens. Two sessions start on it, the first goes on twice; at the end a
// stranger shares 20 tokens with nobody but the second stranger.
TEST(StatisticsTest, CountsASmallTraceAsByHand) {
  StatisticsBuilder builder;
  builder.Add(At(0, {{1, 100}, {2, 300}}));           // New.
  builder.Add(At(1, {{1, 100}, {3, 60}}));            // L 100, 300 back, a novel site.
  builder.Add(At(2, {{1, 100}, {2, 300}, {4, 50}}));  // L 400, 0 back.
  builder.Add(At(3, {{1, 100}, {5, 10}}));            // L 100, 350 back, at the site seen.
  builder.Add(At(4, {{6, 20}, {7, 5}}));              // New.
  builder.Add(At(6, {{6, 20}, {8, 5}}));              // L 20: below 64, no overlap.
  const TraceStatistics s = builder.Finish();
  EXPECT_EQ(s.requests, 6U);
  EXPECT_EQ(s.span_s, 6);
  EXPECT_EQ(s.input_tokens, 400U + 160 + 450 + 110 + 25 + 25);
  EXPECT_DOUBLE_EQ(s.output_mean, 5);
  EXPECT_DOUBLE_EQ(s.hit_share, (100 + 400 + 100 + 20) / 1170.0);
  EXPECT_DOUBLE_EQ(s.hit_share_at[0], (64 + 384 + 64 + 0) / 1170.0);
  EXPECT_DOUBLE_EQ(s.hit_share_at[1], 256 / 1170.0);
  EXPECT_EQ(s.overlaps, 3U);
  EXPECT_DOUBLE_EQ(s.overlap_share, 0.5);
  EXPECT_EQ(s.overlap_tokens.p50, 100);
  EXPECT_EQ(s.distance_back_tokens.p10, 0);
  EXPECT_EQ(s.distance_back_tokens.p50, 300);
  EXPECT_EQ(s.distance_back_tokens.max, 350) << "the latest prompt with the greatest overlap";
  EXPECT_DOUBLE_EQ(s.ends_exactly_share, 1 / 3.0);
  EXPECT_DOUBLE_EQ(s.ends_within_512_share, 1);
  EXPECT_DOUBLE_EQ(s.seen_site_share, 1 / 3.0);
  EXPECT_DOUBLE_EQ(s.novel_site_share, 1 / 3.0);
  EXPECT_EQ(s.reuse_distance_requests.max, 2);
  EXPECT_EQ(s.reuse_distance_s.max, 2);
}

TEST(StatisticsTest, AnEmptyTraceHasNone) {
  const TraceStatistics s = StatisticsBuilder().Finish();
  EXPECT_EQ(s.requests, 0U);
  EXPECT_EQ(s.hit_share, 0);
  EXPECT_NE(FormatStatistics(s).find("requests             0"), std::string::npos);
}

struct Published {
  const char* name;
  std::uint64_t requests;
  double input_mean, input_p50, input_p90, input_max, output_mean;
  double hit_percent;  ///< At the trace's resolution.
  double overlap_percent;
  double overlap_p10, overlap_p50, overlap_p90;
  double back_p50, back_p90;
  double exactly_percent, within_64_percent, within_512_percent, seen_percent, novel_percent;
  double reuse_p50, reuse_p90;
};

// The tables of the public traces' own README: of an independent implementation, in another
// language.
constexpr Published kPublished[] = {
    {"miniswe", 196, 9051, 6672,  16260, 40139, 130, 93.7, 94.9, 2693, 6672,
     16260,     0,   0,    100.0, 100.0, 100.0, 0.0, 0.0,  1,    1},
    {"magentic", 355, 1765, 1137, 1790, 9993, 545,  86.6, 95.8, 477, 1115,
     1608,       0,   680,  85.9, 85.9, 86.2, 78.5, 10.3, 1,    2},
    {"taubench", 1229, 5804, 5358, 8021, 13641, 78,  96.4, 99.9, 4181, 5132,
     7725,       0,    1,    50.3, 92.2, 93.2,  2.4, 5.5,  7,    43},
    {"qmsum", 1148, 12910, 11577, 22777, 36103, 121,  85.1, 85.5, 5458, 11543,
     21566,   16,   26,    0.2,   100.0, 100.0, 25.6, 0.0,  16,   58},
    {"narrativeqa-shape",
     1800,
     58016,
     41773,
     118718,
     194603,
     32,
     91.6,
     91.7,
     27741,
     41758,
     118706,
     20,
     29,
     0.0,
     100.0,
     100.0,
     90.9,
     0.0,
     19,
     71},
    {"mooncake-synth",
     2318,
     12533,
     4608,
     36101,
     191374,
     189,
     37.6,
     19.9,
     4096,
     20480,
     41984,
     0,
     1024,
     68.5,
     68.5,
     88.3,
     43.6,
     19.5,
     428,
     1266},
    {"mooncake-conv", 7851, 12428, 7284, 27991, 124847, 347,  35.8, 100.0, 512, 512,
     12800,           2560, 22016, 38.3, 38.3,  43.5,   68.1, 5.1,  1,     799},
    {"sysprompt-static",
     9000,
     16548,
     6152,
     41250,
     52703,
     228,
     92.0,
     98.8,
     1910,
     4723,
     38315,
     1038,
     4073,
     0.0,
     1.3,
     34.9,
     98.7,
     1.3,
     25,
     295},
    {"sysprompt-rollout",
     9000,
     10433,
     5174,
     24604,
     54787,
     228,
     87.3,
     99.4,
     3016,
     4102,
     23527,
     1038,
     4074,
     0.0,
     1.3,
     35.0,
     98.9,
     1.1,
     10,
     76},
    {"azure-noreuse",
     5740,
     2028,
     1460,
     5025,
     7437,
     27,
     0.0,
     0.0,
     0,
     0,
     0,
     0,
     0,
     0.0,
     0.0,
     0.0,
     0.0,
     0.0,
     0,
     0},
    {"claude-code", 18757, 123065, 105531, 188574, 894371, 462, 96.0, 99.6, 39168, 102848,
     183168,        0,     0,      92.1,   96.2,   96.7,   1.9, 1.9,  16,   90},
};

// The README rounds to one digit, mooncake-conv's 35.75 upwards: allow a rounding either way.
constexpr double kPercentTolerance = 0.11;

TEST(StatisticsTest, AgreesWithThePublishedTablesOfThePublicTraces) {
  const std::filesystem::path folder =
      std::filesystem::path(CAIRN_SOURCE_DIR) / ".." / "shared" / "traces";
  if (!std::filesystem::is_directory(folder)) {
    GTEST_SKIP() << "../shared/traces is absent: THE READER AND THE STATISTICS WERE NOT CHECKED "
                    "AGAINST THE PUBLIC TRACES. Put the traces there to check them.";
  }
  for (const Published& p : kPublished) {
    SCOPED_TRACE(p.name);
    auto reader = TraceReader::Open((folder / (std::string(p.name) + ".public.jsonl.gz")).string());
    ASSERT_TRUE(reader.has_value()) << reader.error().message;
    const auto collected = CollectStatistics(**reader);
    ASSERT_TRUE(collected.has_value()) << collected.error().message;
    const TraceStatistics& s = *collected;
    EXPECT_EQ(s.requests, p.requests);
    EXPECT_NEAR(s.input_mean, p.input_mean, 0.51);
    EXPECT_EQ(s.input.p50, p.input_p50);
    EXPECT_EQ(s.input.p90, p.input_p90);
    EXPECT_EQ(s.input.max, p.input_max);
    EXPECT_NEAR(s.output_mean, p.output_mean, 0.51);
    EXPECT_NEAR(100 * s.hit_share, p.hit_percent, kPercentTolerance);
    EXPECT_NEAR(100 * s.overlap_share, p.overlap_percent, kPercentTolerance);
    EXPECT_EQ(s.overlap_tokens.p10, p.overlap_p10);
    EXPECT_EQ(s.overlap_tokens.p50, p.overlap_p50);
    EXPECT_EQ(s.overlap_tokens.p90, p.overlap_p90);
    EXPECT_EQ(s.distance_back_tokens.p50, p.back_p50);
    EXPECT_EQ(s.distance_back_tokens.p90, p.back_p90);
    EXPECT_NEAR(100 * s.ends_exactly_share, p.exactly_percent, kPercentTolerance);
    EXPECT_NEAR(100 * s.ends_within_64_share, p.within_64_percent, kPercentTolerance);
    EXPECT_NEAR(100 * s.ends_within_512_share, p.within_512_percent, kPercentTolerance);
    EXPECT_NEAR(100 * s.seen_site_share, p.seen_percent, kPercentTolerance);
    EXPECT_NEAR(100 * s.novel_site_share, p.novel_percent, kPercentTolerance);
    EXPECT_EQ(s.reuse_distance_requests.p50, p.reuse_p50);
    EXPECT_EQ(s.reuse_distance_requests.p90, p.reuse_p90);
  }
}

}  // namespace
}  // namespace cairn

#include "libcache/trace/generator.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "libcache/base/digest.h"
#include "libcache/trace/statistics.h"

namespace cairn {
namespace {

std::vector<TraceRequest> Generate(std::string_view scenario, std::uint64_t seed,
                                   std::uint32_t requests) {
  const auto config = GeneratorScenario(scenario, seed, requests);
  EXPECT_TRUE(config.has_value());
  auto generator = TraceGenerator::Create(*config);
  EXPECT_TRUE(generator.has_value());
  return *ReadRequests(**generator);
}

/// At the resolution at which the model of the scenario was published; 0 is exact.
TraceStatistics Measure(std::string_view scenario, std::uint64_t seed, std::uint32_t requests,
                        std::uint32_t block_tokens) {
  StatisticsBuilder builder;
  for (const TraceRequest& request : Generate(scenario, seed, requests)) {
    builder.Add(block_tokens == 0 ? request : AsBlocks(request, block_tokens));
  }
  return builder.Finish();
}

void ExpectWithin(double value, double published, double tolerance_percent, const char* what) {
  EXPECT_NEAR(value, published, published * tolerance_percent / 100) << what;
}

constexpr std::uint64_t kSeeds[] = {1, 2, 3};

// Published: claude-code, in blocks of 64.
TEST(GeneratorTest, AgentsLookLikeTheCodingSessionsTheyAreModelledOn) {
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    const TraceStatistics s = Measure("agent", seed, 18757, 64);
    EXPECT_EQ(s.requests, 18757U);
    EXPECT_NEAR(100 * s.hit_share, 96.0, 0.6);
    EXPECT_NEAR(100 * s.overlap_share, 99.6, 0.2);
    EXPECT_NEAR(100 * s.ends_exactly_share, 92.1, 1.0);
    EXPECT_NEAR(100 * s.ends_within_64_share, 96.2, 0.7);
    EXPECT_NEAR(100 * s.ends_within_512_share, 96.7, 0.8);
    EXPECT_NEAR(100 * s.seen_site_share, 1.9, 1.3);
    EXPECT_NEAR(100 * s.novel_site_share, 1.9, 0.8);
    ExpectWithin(s.input_mean, 123065, 20, "mean input");
    ExpectWithin(s.input.p50, 105531, 20, "p50 of the input");
    ExpectWithin(s.input.p90, 188574, 20, "p90 of the input");
    ExpectWithin(s.output_mean, 462, 10, "mean output");
    EXPECT_EQ(s.distance_back_tokens.p90, 0);
    ExpectWithin(s.reuse_distance_requests.p50, 16, 20, "p50 of the reuse distance");
    ExpectWithin(s.reuse_distance_requests.p90, 90, 20, "p90 of the reuse distance");
    ExpectWithin(s.reuse_distance_s.p50, 19, 10, "p50 of the reuse distance, s");
    ExpectWithin(s.reuse_distance_s.p90, 118, 15, "p90 of the reuse distance, s");
  }
}

// Published: mooncake-conv, in blocks of 512.
TEST(GeneratorTest, ChatsLookLikeTheConversationsTheyAreModelledOn) {
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    const TraceStatistics s = Measure("chat", seed, 7851, 512);
    EXPECT_NEAR(100 * s.hit_share, 35.8, 4.0) << "a few very long chats carry much of it";
    EXPECT_EQ(s.overlaps, s.requests - 1);
    EXPECT_NEAR(100 * s.ends_exactly_share, 38.3, 3.0);
    EXPECT_NEAR(100 * s.ends_within_512_share, 43.5, 3.0);
    EXPECT_NEAR(100 * s.seen_site_share, 68.1, 4.0);
    EXPECT_NEAR(100 * s.novel_site_share, 5.1, 2.5);
    ExpectWithin(s.input_mean, 12428, 10, "mean input");
    ExpectWithin(s.input.p50, 7284, 10, "p50 of the input");
    ExpectWithin(s.input.p90, 27991, 10, "p90 of the input");
    EXPECT_LE(s.input.max, 124847);
    ExpectWithin(s.output_mean, 347, 5, "mean output");
    EXPECT_EQ(s.overlap_tokens.p50, 512) << "the system prompt";
    ExpectWithin(s.overlap_tokens.p90, 12800, 15, "p90 of the overlap");
    ExpectWithin(s.distance_back_tokens.p90, 22016, 15, "p90 of the distance back");
    EXPECT_EQ(s.reuse_distance_requests.p50, 1);
  }
}

// Published: qmsum, exact.
TEST(GeneratorTest, DocumentsLookLikeTheMeetingsTheyAreModelledOn) {
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    const TraceStatistics s = Measure("documents", seed, 1148, 0);
    EXPECT_NEAR(100 * s.hit_share, 85.1, 1.5);
    EXPECT_NEAR(100 * s.overlap_share, 85.5, 1.0);
    EXPECT_NEAR(100 * s.ends_exactly_share, 0.2, 0.3);
    EXPECT_EQ(s.ends_within_64_share, 1);
    EXPECT_NEAR(s.distance_back_tokens.p10, 9, 2);
    EXPECT_NEAR(s.distance_back_tokens.p50, 16, 3);
    EXPECT_NEAR(s.distance_back_tokens.p90, 26, 4);
    EXPECT_NEAR(100 * s.seen_site_share, 25.6, 5.0);
    EXPECT_EQ(s.novel_site_share, 0);
    ExpectWithin(s.input_mean, 12910, 10, "mean input");
    ExpectWithin(s.input.p50, 11577, 15, "p50 of the input");
    ExpectWithin(s.input.p90, 22777, 12, "p90 of the input");
    ExpectWithin(s.output_mean, 121, 5, "mean output");
    ExpectWithin(s.reuse_distance_requests.p50, 16, 30, "p50 of the reuse distance");
    ExpectWithin(s.reuse_distance_requests.p90, 58, 25, "p90 of the reuse distance");
  }
}

// Published: sysprompt-static, exact.
TEST(GeneratorTest, TemplatesLookLikeTheSystemPromptsTheyAreModelledOn) {
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    const TraceStatistics s = Measure("templates", seed, 9000, 0);
    EXPECT_NEAR(100 * s.hit_share, 92.0, 0.5);
    EXPECT_NEAR(100 * s.overlap_share, 98.8, 0.3);
    EXPECT_EQ(s.ends_exactly_share, 0);
    EXPECT_NEAR(100 * s.ends_within_64_share, 1.3, 0.8);
    EXPECT_NEAR(100 * s.ends_within_512_share, 34.9, 4.0);
    EXPECT_NEAR(100 * s.seen_site_share, 98.7, 0.3);
    EXPECT_NEAR(100 * s.novel_site_share, 1.3, 0.3);
    ExpectWithin(s.input_mean, 16548, 5, "mean input");
    ExpectWithin(s.input.p50, 6152, 10, "p50 of the input");
    ExpectWithin(s.input.p90, 41250, 5, "p90 of the input");
    ExpectWithin(s.overlap_tokens.p10, 1910, 5, "p10 of the overlap");
    ExpectWithin(s.overlap_tokens.p50, 4723, 10, "p50 of the overlap");
    ExpectWithin(s.overlap_tokens.p90, 38315, 5, "p90 of the overlap");
    ExpectWithin(s.distance_back_tokens.p50, 1038, 3, "p50 of the distance back");
    ExpectWithin(s.distance_back_tokens.p90, 4073, 3, "p90 of the distance back");
    ExpectWithin(s.output_mean, 228, 6, "mean output");
    ExpectWithin(s.reuse_distance_requests.p50, 25, 12, "p50 of the reuse distance");
    ExpectWithin(s.reuse_distance_requests.p90, 295, 12, "p90 of the reuse distance");
  }
}

std::uint64_t HashOf(const std::vector<TraceRequest>& requests) {
  std::vector<std::uint64_t> words;
  const auto add_path = [&words](const std::vector<TraceSegment>& path) {
    words.push_back(path.size());
    for (const TraceSegment& segment : path) {
      words.insert(words.end(), {segment.id, segment.tokens});
    }
  };
  for (const TraceRequest& request : requests) {
    words.push_back(static_cast<std::uint64_t>(request.arrival_s * 1000 + 0.5));
    words.insert(words.end(), {request.input_tokens, request.output_tokens, request.block_tokens});
    words.push_back(DigestOf(std::as_bytes(std::span(request.tenant))).low);
    words.push_back(DigestOf(std::as_bytes(std::span(request.group))).low);
    add_path(request.path);
    add_path(request.output_path);
  }
  return DigestOf(std::as_bytes(std::span(words))).low;
}

// A scenario and a seed name one workload for good: figures measured on it can be compared across
// machines and releases. Whoever changes the generator on purpose changes these values and says so.
TEST(GeneratorTest, TheSameSeedGivesTheSameTraceEverywhere) {
  const std::map<std::string_view, std::uint64_t> golden = {{"agent", 663512156361545731U},
                                                            {"chat", 15524416148574621084U},
                                                            {"documents", 4730074932516800942U},
                                                            {"templates", 15681239978719023580U},
                                                            {"mixed", 1399367002973153723U}};
  for (const auto& [scenario, hash] : golden) {
    EXPECT_EQ(HashOf(Generate(scenario, 42, 2000)), hash) << scenario;
  }
  EXPECT_NE(HashOf(Generate("mixed", 42, 500)), HashOf(Generate("mixed", 43, 500)));
}

TEST(GeneratorTest, RequestsAreExactInOrderAndAsManyAsAskedFor) {
  for (const std::string_view scenario : GeneratorScenarios()) {
    const auto requests = Generate(scenario, 9, 1500);
    ASSERT_EQ(requests.size(), 1500U) << scenario;
    EXPECT_EQ(requests.front().arrival_s, 0);
    double last_s = 0;
    std::map<std::uint64_t, std::uint32_t> tokens_by_id;
    for (const TraceRequest& request : requests) {
      EXPECT_TRUE(request.exact);
      EXPECT_GE(request.arrival_s, last_s);
      last_s = request.arrival_s;
      std::uint64_t input = 0;
      for (const TraceSegment& segment : request.path) {
        EXPECT_GT(segment.tokens, 0U);
        EXPECT_EQ(tokens_by_id.try_emplace(segment.id, segment.tokens).first->second,
                  segment.tokens);
        input += segment.tokens;
      }
      EXPECT_EQ(input, request.input_tokens);
      ASSERT_EQ(request.output_path.size(), 1U);
      EXPECT_EQ(request.output_path.front().tokens, request.output_tokens);
      EXPECT_LE(request.input_tokens, kMaxRequestTokens);
    }
  }
}

TEST(GeneratorTest, AMixHasTheSharesOfItsWeightsThroughout) {
  const auto requests = Generate("mixed", 1, 10'000);
  std::map<std::string, std::uint32_t> all;
  std::map<std::string, std::size_t> last;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string& tenant = requests[i].tenant;
    const std::string kind = tenant.starts_with("vendor") ? "templates" : tenant;
    ++all[kind];
    last[kind] = i;
  }
  EXPECT_EQ(all, (std::map<std::string, std::uint32_t>{
                     {"agent", 3000}, {"chat", 3500}, {"documents", 1000}, {"templates", 2500}}));
  for (const auto& [kind, number] : last) {
    EXPECT_GT(number, requests.size() * 8 / 10) << kind << " must not be over early";
  }
}

TEST(GeneratorTest, RefusesUnknownScenariosAndEmptyMixes) {
  const auto unknown = GeneratorScenario("agents", 1, 10);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().message,
            "scenario: expected one of agent, chat, documents, templates, mixed, found agents");
  EXPECT_EQ(TraceGenerator::Create({.seed = 1, .requests = 5}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(TraceGenerator::Create({.agent_weight = 1, .block_tokens = 0}).error().code,
            ErrorCode::kInvalidArgument);
  auto none = TraceGenerator::Create({.requests = 0, .chat_weight = 1});
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE((*none)->Next()->has_value());
}

TEST(GeneratorTest, ProgressCountsRequests) {
  auto generator = TraceGenerator::Create({.requests = 3, .chat_weight = 1});
  ASSERT_TRUE(generator.has_value());
  ASSERT_TRUE((*generator)->Next().has_value());
  EXPECT_EQ((*generator)->Progress(), (std::pair<std::uint64_t, std::uint64_t>{1, 3}));
}

}  // namespace
}  // namespace cairn

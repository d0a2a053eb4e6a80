#include <gtest/gtest.h>

#include "libcache/trace/trace.h"

namespace cairn {
namespace {

TraceRequest Exact(std::vector<TraceSegment> path) {
  TraceRequest request;
  request.exact = true;
  request.path = std::move(path);
  for (const TraceSegment& segment : request.path) {
    request.input_tokens += segment.tokens;
  }
  return request;
}

std::size_t CommonPrefix(const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) {
    ++n;
  }
  return n;
}

// Values of the traces' own Python reader, so that a replay from either language sends the same
// tokens. The last id makes the 64-bit counter wrap inside the segment.
TEST(TraceTokensTest, AgreesWithTheReferenceReader) {
  const std::vector<std::pair<std::uint64_t, std::vector<std::uint32_t>>> golden = {
      {0, {100, 100, 1530, 14556, 9052, 11432}},
      {7, {107, 100, 21435, 21999, 7514, 26611}},
      {31900, {100, 101, 1789, 10676, 15373, 6955}},
      {123456789, {3889, 3970, 16725, 15057, 7502, 28737}},
      {9007199254740991, {25891, 12208, 24569, 12973, 7967, 812}},
      {5091157303888625615, {14815, 6611, 15315, 2319, 4687, 17696, 12100, 20039, 12691, 11882}},
  };
  for (const auto& [id, tokens] : golden) {
    const auto size = static_cast<std::uint32_t>(tokens.size());
    EXPECT_EQ(TraceTokens(Exact({{id, size}}), 0), tokens) << id;
  }
  const auto long_segment = TraceTokens(Exact({{1099511627779, 100'000}}), 0);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < long_segment.size(); ++i) {
    sum += (i + 1) * long_segment[i];
  }
  EXPECT_EQ(sum, 80071438501129U);
  EXPECT_EQ(TraceTokens(Exact({{1099511627779, 100'000}}), 0, 151936, 0).back(), 55392U);
}

TEST(TraceTokensTest, RequestsShareTheTokensOfTheirCommonSegments) {
  const auto a = TraceTokens(Exact({{1, 100}, {2, 50}, {3, 70}}), 1);
  const auto b = TraceTokens(Exact({{1, 100}, {2, 50}, {4, 9}}), 2);
  EXPECT_EQ(a.size(), 220U);
  EXPECT_EQ(CommonPrefix(a, b), 150U);
  // Ids that agree modulo the range part at the second token.
  const auto c = TraceTokens(Exact({{1, 100}, {2 + 31900, 50}}), 3);
  EXPECT_EQ(CommonPrefix(a, c), 101U);
}

// Block traces hide the last partial block: it belongs to the request alone.
TEST(TraceTokensTest, TheHiddenTailIsUnique) {
  TraceRequest request = Exact({{1, 64}, {2, 64}});
  request.exact = false;
  request.input_tokens = 150;
  const auto a = TraceTokens(request, 1);
  const auto b = TraceTokens(request, 2);
  EXPECT_EQ(a.size(), 150U);
  EXPECT_EQ(CommonPrefix(a, b), 128U);
  EXPECT_EQ(a, TraceTokens(request, 1));
  request.output_tokens = 22;
  EXPECT_EQ(CommonPrefix(TraceOutputTokens(request, 1), {a.begin() + 128, a.end()}), 0U);
}

// A session's next prompt is the prompt, the answer and a new message.
TEST(TraceTokensTest, TheAnswerContinuesThePrompt) {
  TraceRequest first = Exact({{1, 30}, {2, 40}});
  first.output_tokens = 25;
  first.output_path = {{3, 25}};
  auto expected = TraceTokens(first, 1);
  const auto answer = TraceOutputTokens(first, 1);
  expected.insert(expected.end(), answer.begin(), answer.end());
  const auto next = TraceTokens(Exact({{1, 30}, {2, 40}, {3, 25}, {4, 5}}), 2);
  EXPECT_EQ(CommonPrefix(next, expected), 95U);
}

TEST(TraceTokensTest, StaysInsideTheVocabulary) {
  for (const auto& [vocab, first] : {std::pair{32000U, 100U}, {101U, 100U}, {~0U, 0U}, {2U, 0U}}) {
    for (const std::uint32_t token : TraceTokens(Exact({{77, 5000}}), 1, vocab, first)) {
      ASSERT_GE(token, first);
      ASSERT_LT(token, vocab);
    }
  }
}

TEST(AsBlocksTest, TwoRequestsShareTheWholeBlocksTheyHaveInCommon) {
  const TraceRequest a = AsBlocks(Exact({{1, 100}, {2, 50}, {3, 70}}), 32);
  const TraceRequest b = AsBlocks(Exact({{1, 100}, {2, 50}, {4, 90}}), 32);
  EXPECT_EQ(a.path.size(), 6U);
  EXPECT_EQ(b.path.size(), 7U);
  EXPECT_FALSE(a.exact);
  EXPECT_EQ(a.input_tokens, 220U);
  for (std::size_t i = 0; i < a.path.size(); ++i) {
    EXPECT_EQ(a.path[i].tokens, 32U);
    EXPECT_EQ(a.path[i] == b.path[i], i < 4) << "150 tokens are four blocks: " << i;
  }
}

}  // namespace
}  // namespace cairn

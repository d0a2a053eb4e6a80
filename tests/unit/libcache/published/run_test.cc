#include "libcache/published/run.h"

#include <gtest/gtest.h>

#include "tests/unit/libcache/published/synthetic_run.h"

namespace cairn {
namespace {

const std::string kHeader =
    R"({"type":"header","name":"r","K":2,"n_train":7,"max_len":4096,"block":64,"gamma":0.99,)"
    R"("replan_interval":10,"initial_histogram_bins64":[[0,1.5],[3,2]]})"
    "\n";

std::string ErrorOf(const std::string& text) {
  const auto run = ParsePublishedRun(text);
  if (run) {
    return "none";
  }
  EXPECT_EQ(run.error().code, ErrorCode::kInvalidArgument);
  return run.error().message;
}

TEST(PublishedRunTest, ASyntheticRunComesBack) {
  const auto made = MakeSyntheticRun({.requests = 30, .measured = 10}, 1);
  const auto run = std::move(ParsePublishedRun(TextOf(made))).value();
  EXPECT_TRUE(run.synthetic);
  EXPECT_EQ(run.first_measured, 20U);
  EXPECT_EQ(run.cache_requests, 20U);
  EXPECT_EQ(run.MeasuredTokens(), 10U * 4096U);
  ASSERT_EQ(run.requests.size(), made.requests.size());
  for (std::size_t i = 0; i < run.requests.size(); ++i) {
    EXPECT_EQ(run.requests[i].divergence, made.requests[i].divergence);
  }
}

TEST(PublishedRunTest, RequestsNameWhatTheyWereServedFrom) {
  const auto run =
      std::move(ParsePublishedRun(kHeader + R"({"type":"warm","id":"w0","group":4,"len":100}
{"type":"req","group":4,"len":120,"doc":90,"match":91,"src":"w0"}
{"type":"req","group":5,"len":50,"doc":40,"match":0,"src":null}
{"type":"req","group":4,"len":130,"doc":90,"match":90,"src":0})"))
          .value();
  ASSERT_EQ(run.requests.size(), 4U);
  EXPECT_EQ(run.first_measured, 1U);
  EXPECT_EQ(run.requests[1].source, 0U);
  EXPECT_EQ(run.requests[2].source, std::nullopt);
  EXPECT_EQ(run.requests[3].source, 1U);
  EXPECT_EQ(run.requests[3].match, 90U);
  ASSERT_TRUE(run.histogram.has_value());
  EXPECT_EQ(run.histogram->size(), 2U);
  EXPECT_EQ(run.histogram->at(1).count, 2.0);
}

TEST(PublishedRunTest, SaysWhatIsWrongAndWhere) {
  const std::string warm = R"({"type":"warm","id":"w0","group":4,"len":100})"
                           "\n";
  const std::string req = R"({"type":"req","group":5,"len":50,"doc":40,"match":0})"
                          "\n";
  EXPECT_NE(ErrorOf("").find("needs a header"), std::string::npos);
  EXPECT_NE(ErrorOf(kHeader).find("needs a header and a req"), std::string::npos);
  EXPECT_EQ(ErrorOf("{}\n"), "line 1: name: must be a string");
  EXPECT_EQ(ErrorOf("not json\n"), "line 1: not a JSON object");
  EXPECT_EQ(ErrorOf(kHeader + "[1]\n"), "line 2: not a JSON object");
  EXPECT_EQ(ErrorOf(kHeader + R"({"type":"x"})"), "line 2: type: must be warm, train or req");
  EXPECT_EQ(ErrorOf(kHeader + req + warm), "line 3: type: warm after the first req");
  EXPECT_NE(ErrorOf(kHeader + R"({"type":"req","group":-1})").find("line 2: group"),
            std::string::npos);
  EXPECT_NE(ErrorOf(kHeader + R"({"type":"req","group":1,"len":4294967296})").find("len"),
            std::string::npos);
  const std::string bad_source = "is not a request of this group that the cache still holds";
  for (const std::string source : {R"("w9")", R"("w0")", "0", "1", "99999999999", "-1", "{}"}) {
    const std::string served = R"({"type":"req","group":5,"len":50,"doc":40,"match":9,"src":)";
    // "w0" is of another group, 0 is itself, the others are not there.
    EXPECT_EQ(ErrorOf(kHeader + warm + served + source + "}"), "line 3: src: " + bad_source)
        << source;
  }
  // K is 2: the third request back is gone.
  const std::string late = R"({"type":"req","group":5,"len":50,"doc":40,"match":9,"src":0})";
  EXPECT_EQ(ErrorOf(kHeader + req + req + late), "none");
  EXPECT_EQ(ErrorOf(kHeader + req + req + req + late), "line 5: src: " + bad_source);
}

TEST(PublishedRunTest, RefusesAHistogramThatIsNone) {
  for (const std::string counts : {"5", "[5]", "[[1]]", "[[-1,2]]", R"([["a",2]])", "[[1,null]]"}) {
    const std::string text =
        R"({"name":"r","K":2,"n_train":7,"max_len":4096,"block":64,"gamma":0.99,)"
        R"("replan_interval":10,"initial_histogram_bins64":)" +
        counts + "}\n";
    EXPECT_NE(ErrorOf(text).find("line 1: initial_histogram_bins64"), std::string::npos) << counts;
  }
}

TEST(PublishedReferenceTest, NamesBecomeStrategies) {
  const auto references = std::move(ParsePublishedReference(R"({"strategies":{
      "no_cache":{"hits":0,"tokens_saved":0},
      "log_768":{"hits":1,"tokens_saved":2,"tokens_saved_per_request":[0,2]},
      "sqrt":{"hits":1,"tokens_saved":2,"n_blocks":null},
      "block_64":{"hits":1,"tokens_saved":2,"block_size":64},
      "balanced_3":{"hits":1,"tokens_saved":2},
      "dp_25":{"hits":1,"tokens_saved":2,"n_blocks":20},
      "dp_5_adaptive":{"hits":1,"tokens_saved":2}}})"))
                              .value();
  const auto strategy = [&](const std::string& name) {
    for (const auto& reference : references) {
      if (reference.name == name) {
        return reference.strategy + (reference.adaptive_backtrack ? " adaptive" : "");
      }
    }
    return std::string("missing");
  };
  EXPECT_EQ(references.size(), 7U);
  EXPECT_EQ(strategy("no_cache"), "none");
  EXPECT_EQ(strategy("log_768"), "log");
  EXPECT_EQ(strategy("sqrt"), "sqrt");
  EXPECT_EQ(strategy("block_64"), "block:64");
  EXPECT_EQ(strategy("balanced_3"), "balanced:3");
  EXPECT_EQ(strategy("dp_25"), "hist_exp_decay:20") << "what it ran with";
  EXPECT_EQ(strategy("dp_5_adaptive"), "hist_exp_decay:5 adaptive");
}

TEST(PublishedReferenceTest, RefusesWhatIsNoReference) {
  for (const std::string text :
       {"", "[]", "{}", R"({"strategies":[]})", R"({"strategies":{"sqrt":5}})",
        R"({"strategies":{"sqrt":{}}})", R"({"strategies":{"sqrt":{"hits":-1,"tokens_saved":0}}})",
        R"({"strategies":{"sqrt":{"hits":1,"tokens_saved":0,)"
        R"("tokens_saved_per_request":["x"]}}})"}) {
    const auto references = ParsePublishedReference(text);
    ASSERT_FALSE(references.has_value()) << text;
    EXPECT_EQ(references.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(PublishedRunTest, AMissingFileIsNotFound) {
  const auto run = LoadPublishedRun("/nonexistent", "r");
  ASSERT_FALSE(run.has_value());
  EXPECT_EQ(run.error().code, ErrorCode::kNotFound);
  EXPECT_NE(run.error().message.find("/nonexistent/r.jsonl"), std::string::npos);
  EXPECT_EQ(LoadPublishedReference("/nonexistent", "r").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cairn

// How long a prefill takes, from what an id says of a model.
#include "libcache/sim/cost.h"

#include <gtest/gtest.h>

#include <limits>

namespace cairn::sim {
namespace {

TEST(CostTest, ParametersAreReadFromIds) {
  EXPECT_DOUBLE_EQ(*ActiveParameters("qwen3.5-27b"), 27e9);
  EXPECT_DOUBLE_EQ(*ActiveParameters("qwen3.5-35b-a3b"), 3e9);
  EXPECT_DOUBLE_EQ(*ActiveParameters("nemotron-3-super-120b-a12b"), 12e9);
  EXPECT_DOUBLE_EQ(*ActiveParameters("qwen3.5-0.8b"), 0.8e9);
  EXPECT_DOUBLE_EQ(*ActiveParameters("nemotron-nano-9b-v2"), 9e9);
  EXPECT_DOUBLE_EQ(*ActiveParameters("mamba2-130m"), 130e6);
  for (const char* const id : {"", "-", "jamba-mini", "minimax-m1", "b", "ab", "a-b", "1.2.3b",
                               "0b", "-b", "27", "1e3b", "nanb", "infb"}) {
    EXPECT_FALSE(ActiveParameters(id)) << id;
  }
}

TEST(CostTest, LinearIsTwoFlopsPerParameterAndToken) {
  const auto cost = MakePrefillCost(*FindModelPreset("qwen3.5-27b"), {});
  ASSERT_TRUE(cost);
  EXPECT_DOUBLE_EQ(cost->per_token_s, 2 * 27e9 / 3e14);
  EXPECT_EQ(cost->per_pair_s, 0);
  const auto given = MakePrefillCost(*FindModelPreset("qwen3.5-27b"),
                                     {.active_parameters = 1e9, .flops_per_second = 1e12});
  EXPECT_DOUBLE_EQ(given->per_token_s, 2e-3);
}

TEST(CostTest, LinearOfAnUnknownSizeHasADefault) {
  const auto cost = MakePrefillCost(*FindModelPreset("jamba-mini"), {});
  ASSERT_TRUE(cost);
  EXPECT_DOUBLE_EQ(cost->per_token_s, kUnknownPerTokenSeconds);
}

TEST(CostTest, FlopsAddAttentionToAllTokensBefore) {
  const ModelSpec model = *FindModelPreset("qwen3.5-27b");  // 16 layers of heads of 256.
  const auto heads = MakePrefillCost(model, {.kind = "flops", .query_heads = 24});
  ASSERT_TRUE(heads) << heads.error().message;
  EXPECT_DOUBLE_EQ(heads->per_pair_s, 4.0 * 24 * 256 * 16 / 3e14);
  const auto flops = MakePrefillCost(model, {.kind = "flops", .attention_flops_per_pair = 3e5});
  ASSERT_TRUE(flops);
  EXPECT_DOUBLE_EQ(flops->per_pair_s, 1e-9);
}

TEST(CostTest, FlopsOfAModelWithoutAttentionAreLinear) {
  ModelSpec model;
  model.id = "mamba2-2.7b";
  const auto cost = MakePrefillCost(model, {.kind = "flops"});
  ASSERT_TRUE(cost);
  EXPECT_EQ(cost->per_pair_s, 0);
}

TEST(CostTest, WhatIsUnknownOrWrongIsNamed) {
  const ModelSpec known = *FindModelPreset("qwen3.5-27b");
  const auto message = [](const ModelSpec& model, const CostRequest& request) {
    const auto cost = MakePrefillCost(model, request);
    EXPECT_FALSE(cost);
    return cost ? "" : cost.error().message;
  };
  EXPECT_NE(message(known, {.kind = "flops"}).find("--query-heads"), std::string::npos);
  EXPECT_NE(message(*FindModelPreset("jamba-mini"), {.kind = "flops"}).find("--active-parameters"),
            std::string::npos);
  EXPECT_NE(message(known, {.kind = "cubic"}).find("linear or flops"), std::string::npos);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(message(known, {.active_parameters = nan}).find("--active-parameters"),
            std::string::npos);
  EXPECT_NE(message(known, {.flops_per_second = 0}).find("--flops-per-second"), std::string::npos);
  EXPECT_NE(message(known, {.attention_flops_per_pair = -1}).find("--attention-flops"),
            std::string::npos);
}

}  // namespace
}  // namespace cairn::sim

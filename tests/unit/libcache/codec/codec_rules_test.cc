#include "libcache/codec/codec_rules.h"

#include <gtest/gtest.h>

#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

using Choice = CodecRules::Choice;

const Codec* Named(std::string_view name) { return FindCodec(name); }

Choice ChoiceOf(std::string_view rules, std::string_view model = "m") {
  const auto parsed = CodecRules::Parse(rules);
  EXPECT_TRUE(parsed) << rules << ": " << parsed.error().message;
  return parsed ? parsed->For(model) : Choice{};
}

TEST(CodecRulesTest, OneForAllAndExceptionsByModel) {
  const Codec* const lossless = &ExponentSplitCodec();
  const Choice none{};
  const Choice both{lossless, lossless};
  EXPECT_EQ(CodecRules().For("m"), none);
  EXPECT_EQ(ChoiceOf(""), none);
  EXPECT_EQ(ChoiceOf("none"), none);
  EXPECT_EQ(ChoiceOf("lossless"), both);
  EXPECT_EQ(ChoiceOf("exponent_split"), both);
  constexpr std::string_view kRules = "lossless,llama=none,qwen3.5-27b=lossless";
  EXPECT_EQ(ChoiceOf(kRules), both);
  EXPECT_EQ(ChoiceOf(kRules, "llama"), none);
  EXPECT_EQ(ChoiceOf(kRules, "qwen3.5-27b"), both);
  EXPECT_EQ(ChoiceOf("llama=lossless", "llama"), both);
  EXPECT_EQ(ChoiceOf("llama=lossless"), none);
}

// A blank in front of a model would make it another model, and its exception no exception.
TEST(CodecRulesTest, BlanksDoNotMatter) {
  const Codec* const lossless = &ExponentSplitCodec();
  EXPECT_EQ(ChoiceOf(" none, llama = lossless ", "llama"), (Choice{lossless, lossless}));
  EXPECT_EQ(ChoiceOf("kv:kivi2, llama=none", "llama"), Choice{});
}

TEST(CodecRulesTest, ByKindOfObject) {
  const Codec* const lossless = &ExponentSplitCodec();
  constexpr std::string_view kRules =
      "lossless,a=checkpoint:int8_column+kv:fp8_kv,b=kv:cachegen,c=checkpoint:none,d=bf16_round";
  EXPECT_EQ(ChoiceOf(kRules), (Choice{lossless, lossless}));
  EXPECT_EQ(ChoiceOf(kRules, "a"), (Choice{Named("fp8_kv"), Named("int8_column")}));
  EXPECT_EQ(ChoiceOf(kRules, "b"), (Choice{Named("cachegen"), lossless})) << "the rest as for all";
  EXPECT_EQ(ChoiceOf(kRules, "c"), (Choice{lossless, nullptr}));
  EXPECT_EQ(ChoiceOf(kRules, "d"), (Choice{Named("bf16_round"), Named("bf16_round")}));
  EXPECT_EQ(ChoiceOf("kv:kivi2"), (Choice{Named("kivi2"), nullptr})) << "nothing was for all";
  for (const Codec* codec : Codecs()) {
    const std::string name(codec->name());
    EXPECT_TRUE(CodecRules::Parse("kv:" + name) || CodecRules::Parse("checkpoint:" + name)) << name;
  }
}

TEST(CodecRulesTest, MistakesAreToldWithWhatToWrite) {
  for (const auto* text : {"zip",
                           "none,lossless",
                           "none,=lossless",
                           "none,a=zip",
                           "a=none,a=none",
                           "none,,a=none",
                           "a=",
                           "kv:",
                           ":none",
                           "kv:zip",
                           "state:none",
                           "kv:none+kv:none",
                           "kv:none+",
                           "+kv:none",
                           "kv:none+lossless",
                           "none,kv:none",
                           "lossless,",
                           ",",
                           " ",
                           "none, ,a=none",
                           "none, =none"}) {
    const auto rules = CodecRules::Parse(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_EQ(rules.error().code, ErrorCode::kInvalidArgument);
  }
  const auto says = [](std::string_view text, std::string_view what) {
    const auto rules = CodecRules::Parse(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_NE(rules.error().message.find(what), std::string::npos) << rules.error().message;
  };
  says("zip", "write none, lossless, checkpoint:int8_column, kv:fp8_kv");
  says("lossless,test", "'test' has no '='");
  says("lossless,", "comma");
  says("kivi4", "write kv:kivi4");
  says("none,m=int8_column", "write checkpoint:int8_column");
  says("checkpoint:fp8_kv", "write kv:fp8_kv");
  says("states:none", "not as kv:CODEC or checkpoint:CODEC");
}

}  // namespace
}  // namespace cairn

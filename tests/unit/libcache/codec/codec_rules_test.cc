#include "libcache/codec/codec_rules.h"

#include <gtest/gtest.h>

#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

TEST(CodecRulesTest, OneForAllAndExceptionsByModel) {
  const Codec* const lossless = &ExponentSplitCodec();
  EXPECT_EQ(CodecRules().For("m"), nullptr);
  EXPECT_EQ(CodecRules::Parse("")->For("m"), nullptr);
  EXPECT_EQ(CodecRules::Parse("none")->For("m"), nullptr);
  EXPECT_EQ(CodecRules::Parse("lossless")->For("m"), lossless);
  EXPECT_EQ(CodecRules::Parse("exponent_split")->For("m"), lossless);
  const auto rules = CodecRules::Parse("lossless,llama=none,qwen3.5-27b=lossless");
  EXPECT_EQ(rules->For("m"), lossless);
  EXPECT_EQ(rules->For("llama"), nullptr);
  EXPECT_EQ(rules->For("qwen3.5-27b"), lossless);
  EXPECT_EQ(CodecRules::Parse("llama=lossless")->For("llama"), lossless);
  EXPECT_EQ(CodecRules::Parse("llama=lossless")->For("m"), nullptr);
}

TEST(CodecRulesTest, MistakesAreToldWithWhatToWrite) {
  for (const auto* text : {"zip", "none,lossless", "none,=lossless", "none,a=zip", "a=none,a=none",
                           "none,,a=none", "a="}) {
    const auto rules = CodecRules::Parse(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_EQ(rules.error().code, ErrorCode::kInvalidArgument);
  }
  for (const Codec* codec : Codecs()) {
    const auto rules = CodecRules::Parse("none,m=" + std::string(codec->name()));
    EXPECT_EQ(rules.has_value(), codec->fidelity() == Fidelity::kLossless);
    if (!rules) {
      EXPECT_NE(rules.error().message.find("write lossless or none"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace cairn

#include "libcache/base/bytes.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(BytesTest, ReadsBinaryAndDecimalUnits) {
  EXPECT_EQ(ParseBytes("4096").value(), 4096U);
  EXPECT_EQ(ParseBytes("64KiB").value(), 65536U);
  EXPECT_EQ(ParseBytes("1.5 GiB").value(), 1536 * kMiB);
  EXPECT_EQ(ParseBytes("500GB").value(), 500'000'000'000U);
  EXPECT_EQ(ParseBytes("2g").value(), 2 * kGiB);
}

TEST(BytesTest, RefusesWhatIsNoSizeAndQuotesIt) {
  for (const char* text : {"", "GiB", "-1", "1XB", "nan", "1e30", "12 parsecs"}) {
    const auto result = ParseBytes(text);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(result.error().message.find(text), std::string::npos);
  }
}

TEST(BytesTest, FormatsForPeople) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1536 * kMiB), "1.50 GiB");
  EXPECT_EQ(FormatBytes(153'944'064), "147 MiB");
}

TEST(BytesTest, HexRoundTripsAndRefusesOtherText) {
  const std::string hex = "00ff10a5";
  const auto bytes = FromHex(hex);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(ToHex(std::as_bytes(std::span(*bytes))), hex);
  EXPECT_FALSE(FromHex("0").has_value());
  EXPECT_FALSE(FromHex("zz").has_value());
}

}  // namespace
}  // namespace cairn

#include "libcache/base/fidelity.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(FidelityTest, NamesAndNumbersStay) {
  constexpr std::string_view kNames[] = {"exact", "near", "compact"};
  for (std::uint32_t i = 0; i < kFidelities; ++i) {
    const auto fidelity = FidelityOf(i);
    ASSERT_TRUE(fidelity);
    EXPECT_EQ(FidelityName(*fidelity), kNames[i]);
    EXPECT_EQ(ParseFidelity(kNames[i]).value(), *fidelity);
  }
  EXPECT_EQ(FidelityOf(kFidelities).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(FidelityOf(-1).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(ParseFidelity("Exact").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ParseFidelity("").error().message, "'' is not one of exact, near, compact");
}

}  // namespace
}  // namespace cairn

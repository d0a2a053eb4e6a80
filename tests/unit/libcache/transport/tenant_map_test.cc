// Whose certificates belong to which tenant, as an operator writes it.
#include "libcache/transport/tenant_map.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

TenantMap Map(std::string_view text) {
  auto map = TenantMap::Parse(text);
  EXPECT_TRUE(map.has_value()) << (map ? "" : map.error().message);
  return map ? std::move(*map) : TenantMap();
}

std::string TenantOf(const TenantMap& map, std::string_view identity) {
  return map.TenantOf(identity).value_or("none");
}

TEST(TenantMapTest, ExactAndBelowAPath) {
  const TenantMap map = Map(" spiffe://c/ns/acme/*=acme, engine.Globex.example = globex ,");
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/acme/sa/engine"), "acme");
  EXPECT_EQ(TenantOf(map, "engine.globex.example"), "globex") << "names have no case";
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/acme-of-somebody-else/sa/engine"), "none");
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/acme/"), "none") << "nothing is below it";
  EXPECT_EQ(TenantOf(map, "spiffe://C/ns/acme/sa/engine"), "none") << "paths and domains have";
  EXPECT_EQ(TenantOf(map, "x.engine.globex.example"), "none");
  EXPECT_EQ(TenantOf(map, ""), "none");
  EXPECT_TRUE(Map("").empty());
}

TEST(TenantMapTest, TheLongestEntryCounts) {
  const TenantMap map =
      Map("*=rest,spiffe://c/*=cluster,spiffe://c/ns/acme/*=acme,spiffe://c/ns/acme/sa/x=special");
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/acme/sa/x"), "special");
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/acme/sa/y"), "acme");
  EXPECT_EQ(TenantOf(map, "spiffe://c/ns/other"), "cluster");
  EXPECT_EQ(TenantOf(map, "host.example"), "rest");
  EXPECT_EQ(TenantOf(map, ""), "none") << "everybody is somebody";
}

TEST(TenantMapTest, RefusesWhatNobodyCanMean) {
  for (const std::string bad :
       {"acme", "=acme", "a=", "a b=c", "spiffe://c/acme*=acme", "spiffe://*/ns=acme",
        "engine*=acme", "*.example=acme", "**=acme", "a=x,a=y", "A.example=x,a.example=y",
        "spiffe://c/*=x,spiffe://c/*=y", "a=\x01", "\xff=x"}) {
    const auto map = TenantMap::Parse(bad);
    ASSERT_FALSE(map.has_value()) << bad;
    EXPECT_EQ(map.error().code, ErrorCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(TenantMap::Parse("a=" + std::string(257, 't')));
  EXPECT_FALSE(TenantMap::Parse(std::string(2049, 'a') + "=t"));
}

TEST(TenantMapTest, IdentitiesAreWhole) {
  const auto list = ParseIdentities("spiffe://c/Admin, Host.example");
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(*list, (std::vector<std::string>{"spiffe://c/Admin", "host.example"}));
  EXPECT_FALSE(ParseIdentities("spiffe://c/*"));
  EXPECT_TRUE(ParseIdentities("")->empty());
  EXPECT_FALSE(ParseIdentities(","));
}

// An empty map lets everybody in; a text that was meant to be one must not become it.
TEST(TenantMapTest, ATextWithoutEntriesIsNoMap) {
  for (const char* const text : {",", " ", ",,", " , ,\n"}) {
    const auto map = TenantMap::Parse(text);
    ASSERT_FALSE(map.has_value()) << '\'' << text << '\'';
    EXPECT_EQ(map.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(map.error().message.find("no entry"), std::string::npos) << map.error().message;
  }
  EXPECT_TRUE(TenantMap::Parse("")->empty());
  EXPECT_FALSE(TenantMap::Parse("a.example=acme,")->empty());
}

}  // namespace
}  // namespace cairn

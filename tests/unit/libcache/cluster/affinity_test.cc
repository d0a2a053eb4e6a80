#include "libcache/cluster/affinity.h"

#include <gtest/gtest.h>

#include <cstring>

namespace cairn {
namespace {

std::vector<PrefixKey> Keys(std::initializer_list<std::uint64_t> words) {
  std::vector<PrefixKey> keys;
  for (const std::uint64_t word : words) {
    std::memcpy(keys.emplace_back().bytes.data(), &word, sizeof(word));
  }
  return keys;
}

TEST(AffinityTest, FindsTheDeepestPrefixThatIsRemembered) {
  Affinity affinity;
  const auto stored = Keys({11, 12, 13});
  EXPECT_FALSE(affinity.Deepest(stored).has_value());
  affinity.Remember(stored[0], 1, 7);
  affinity.Remember(stored[2], 3, 8);
  const auto longer = affinity.Deepest(Keys({11, 12, 13, 14, 15}));
  ASSERT_TRUE(longer.has_value());
  EXPECT_EQ(longer->blocks, 3U);
  EXPECT_EQ(longer->member, 8U);
  const auto sibling = affinity.Deepest(Keys({11, 12, 23}));
  ASSERT_TRUE(sibling.has_value());
  EXPECT_EQ(sibling->blocks, 1U);
  EXPECT_EQ(sibling->member, 7U);
  EXPECT_FALSE(affinity.Deepest(Keys({21, 22, 23})).has_value());
  EXPECT_FALSE(affinity.Deepest({}).has_value());
}

TEST(AffinityTest, WhatIsNewestStaysInASlot) {
  Affinity affinity(4);
  const auto keys = Keys({1, 5});  // One slot.
  affinity.Remember(keys[0], 1, 7);
  affinity.Remember(keys[1], 2, 8);
  EXPECT_EQ(affinity.Deepest(keys)->member, 8U);
  EXPECT_FALSE(affinity.Deepest(std::span(keys).first(1)).has_value());
  affinity.Remember(keys[1], 2, 9);
  EXPECT_EQ(affinity.Deepest(keys)->member, 9U) << "it moved";
}

// A word that names a prefix of another length is another prefix.
TEST(AffinityTest, LengthsAreCompared) {
  Affinity affinity;
  affinity.Remember(Keys({11})[0], 2, 7);
  EXPECT_FALSE(affinity.Deepest(Keys({11})).has_value());
}

}  // namespace
}  // namespace cairn

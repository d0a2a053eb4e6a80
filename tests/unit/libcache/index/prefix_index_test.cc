#include "libcache/index/prefix_index.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

PrefixKey RandomKey(std::mt19937_64& random) {
  PrefixKey key;
  for (std::size_t i = 0; i < PrefixKey::kBytes; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(key.bytes.data() + i, &word, sizeof(word));
  }
  return key;
}

// The promise of the design: 128 bytes for a block with its KV, at any size of the trie.
TEST(PrefixIndexTest, CostsAtMost128BytesPerBlock) {
  std::mt19937_64 random(7);
  PrefixIndex index(UINT32_MAX / 2);
  const NodeId root = index.InsertRoot(RandomKey(random), 0);
  std::uint32_t blocks = 0;
  double worst = 0;
  for (int chain = 0; chain < 4000; ++chain) {
    NodeId at = root;
    for (std::uint32_t i = 0; i < 256; ++i) {
      at = index.Insert(at, RandomKey(random), i + 1, false);
      index.AddObject(at, ObjectKind::kKv, 4096);
      ++blocks;
    }
    if (blocks >= 50'000) {
      worst = std::max(worst, static_cast<double>(index.memory_bytes()) / blocks);
    }
  }
  RecordProperty("bytes_per_block", std::to_string(worst));
  std::printf("%u blocks, at most %.1f bytes per block\n", blocks, worst);
  EXPECT_LE(worst, 128.0);
}

TEST(PrefixIndexTest, ForgetsTheGhostUnusedLongest) {
  std::mt19937_64 random(1);
  PrefixIndex index(16);
  const NodeId root = index.InsertRoot(RandomKey(random), 0);
  std::vector<PrefixKey> keys;
  for (int i = 0; i < 15; ++i) {
    keys.push_back(RandomKey(random));
    ASSERT_NE(index.Insert(root, keys.back(), 1, false), kNoId);
  }
  index.TouchGhost(index.Find(keys[0]));
  ASSERT_NE(index.Insert(root, RandomKey(random), 1, false), kNoId);
  EXPECT_NE(index.Find(keys[0]), kNoId) << "it was seen again";
  EXPECT_EQ(index.Find(keys[1]), kNoId);
}

TEST(PrefixIndexTest, RefusesWhenEverythingHasBytes) {
  std::mt19937_64 random(1);
  PrefixIndex index(16);
  const NodeId root = index.InsertRoot(RandomKey(random), 0);
  for (int i = 0; i < 15; ++i) {
    index.AddObject(index.Insert(root, RandomKey(random), 1, false), ObjectKind::kKv, 1);
  }
  EXPECT_EQ(index.Insert(root, RandomKey(random), 1, false), kNoId);
}

TEST(PrefixIndexTest, PutsTheTailUsedLastFirst) {
  std::mt19937_64 random(1);
  PrefixIndex index(100);
  const NodeId root = index.InsertRoot(RandomKey(random), 0);
  const NodeId a = index.Insert(root, RandomKey(random), 3, true);
  const NodeId b = index.Insert(root, RandomKey(random), 4, true);
  const NodeId c = index.Insert(root, RandomKey(random), 5, true);
  EXPECT_EQ(index.node(root).first_tail, c);
  index.TouchTail(a);
  EXPECT_EQ(index.node(root).first_tail, a);
  EXPECT_EQ(index.node(a).next_sibling, c);
  EXPECT_EQ(index.node(c).next_sibling, b);
  EXPECT_EQ(index.node(b).next_sibling, kNoId);
}

}  // namespace
}  // namespace cairn

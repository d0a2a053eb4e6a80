#include "libcache/solver/trie_instance.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace cairn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A sound instance, of which each test breaks one thing.
class TrieInstanceTest : public ::testing::Test {
 public:
  std::vector<std::uint32_t> parent = {7, 0, 1, 1};  // The root's parent is nobody's business.
  std::vector<double> potential = {0, 4, 9, 6};
  std::vector<double> weight = {0, 1, 0, 2.5};
  std::vector<std::uint64_t> checkpoint_bytes = {UINT64_MAX, 10, 10, 20};
  std::vector<std::uint64_t> kv_bytes = {UINT64_MAX, 4, 5, 2};
  std::vector<std::uint8_t> allowed = {0, 1, 0, 1};
  std::vector<double> fetch = {kNan, 0, 0.5, 30};

  [[nodiscard]] TrieInstance View() const {
    return {.parent = parent,
            .potential = potential,
            .weight = weight,
            .checkpoint_bytes = checkpoint_bytes,
            .kv_bytes = kv_bytes,
            .allowed = allowed,
            .fetch = fetch};
  }
  void ExpectRefused(const std::string& message) const {
    const auto status = Validate(View());
    ASSERT_FALSE(status) << message;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(status.error().message, message);
  }
};

TEST_F(TrieInstanceTest, AcceptsWhatItsFieldsPromise) {
  EXPECT_TRUE(Validate(View()));
  checkpoint_bytes.clear();
  kv_bytes.clear();
  allowed.clear();
  fetch.clear();
  EXPECT_TRUE(Validate(View()));
  EXPECT_TRUE(Validate(TrieInstance())) << "an empty trie";
}

TEST_F(TrieInstanceTest, OffersWhatLoadingLeavesWhereACheckpointMayStand) {
  potential = {1, 4, 9, 6};
  EXPECT_EQ(View().Offer(0), 0);
  EXPECT_EQ(View().Offer(1), 3);
  EXPECT_EQ(View().Offer(2), 0) << "off the grid";
  EXPECT_EQ(View().Offer(3), 0) << "dearer to load than to compute";
  allowed.clear();
  EXPECT_EQ(View().Offer(2), 7.5);
}

TEST_F(TrieInstanceTest, RefusesFieldsOfAnotherLength) {
  weight.push_back(1);
  ExpectRefused("weight: 5 entries for 4 nodes");
  weight.resize(4);
  potential.clear();
  ExpectRefused("potential: 0 entries for 4 nodes");
  potential = {0, 4, 9, 6};
  allowed.resize(1);
  ExpectRefused("allowed: 1 entries for 4 nodes");
}

TEST_F(TrieInstanceTest, RefusesAParentThatDoesNotComeFirst) {
  parent[2] = 2;
  ExpectRefused("parent[2]: must be below its own index");
  parent[2] = UINT32_MAX;
  ExpectRefused("parent[2]: must be below its own index");
}

TEST_F(TrieInstanceTest, RefusesAPotentialNotAboveTheParents) {
  potential[3] = potential[1];
  ExpectRefused("potential[3]: must be above the parent's");
  potential[3] = kNan;
  ExpectRefused("potential[3]: must be finite and not negative");
  potential[3] = kInfinity;
  ExpectRefused("potential[3]: must be finite and not negative");
  potential[0] = -1;
  ExpectRefused("potential[0]: must be finite and not negative");
}

TEST_F(TrieInstanceTest, RefusesImpossibleWeights) {
  for (const double wrong : {-1.0, -std::numeric_limits<double>::denorm_min(), kInfinity, kNan}) {
    weight[2] = wrong;
    ExpectRefused("weight[2]: must be finite and not negative");
  }
  weight[2] = -0.0;
  EXPECT_TRUE(Validate(View()));
  weight[2] = std::numeric_limits<double>::max();
  ExpectRefused("weight: sum times highest potential exceeds 1e300");
}

TEST_F(TrieInstanceTest, RefusesImpossibleFetchCosts) {
  for (const double wrong : {-1.0, kInfinity, kNan}) {
    fetch[1] = wrong;
    ExpectRefused("fetch[1]: must be finite and not negative");
  }
}

TEST_F(TrieInstanceTest, RefusesMoreBytesThanADoubleCounts) {
  kv_bytes[3] = kMaxTrieBytes;
  ExpectRefused("kv_bytes[3]: all bytes together must not exceed 2^53");
  kv_bytes[3] = 0;
  checkpoint_bytes[2] = UINT64_MAX;
  ExpectRefused("checkpoint_bytes[2]: all bytes together must not exceed 2^53");
}

// The array is as large as it says nowhere but in the view: the length is checked before a look.
TEST_F(TrieInstanceTest, RefusesMoreNodesThanItCanNumber) {
  TrieInstance trie = View();
  trie.parent = std::span<const std::uint32_t>(parent.data(), std::size_t{1} << 32);
  const auto status = Validate(trie);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "parent: 4294967296 nodes, at most 2147483647 can be solved");
}

TEST_F(TrieInstanceTest, RefusesImpossiblePrices) {
  EXPECT_TRUE(ValidatePrice(0));
  EXPECT_TRUE(ValidatePrice(1e300));
  for (const double wrong : {-1e-9, kInfinity, kNan}) {
    const auto status = ValidatePrice(wrong);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "price_per_byte: must be finite and not negative");
  }
}

}  // namespace
}  // namespace cairn

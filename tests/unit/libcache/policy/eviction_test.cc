#include "libcache/policy/eviction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace cairn {
namespace {

constexpr std::array<const char*, 4> kNames = {"value", "lru", "lfu", "w_tinylfu"};

std::unique_ptr<EvictionPolicy> Make(std::string_view name) {
  return std::move(MakeEvictionPolicy(name)).value();
}

bool Any(UnitId) { return true; }

/// Ids in the order in which the policy gives them up.
std::vector<UnitId> Drain(EvictionPolicy& policy) {
  std::vector<UnitId> order;
  while (const auto victim = policy.PickVictim(Any, 0)) {
    order.push_back(*victim);
    policy.Erase(*victim);
  }
  return order;
}

TEST(EvictionTest, UnknownNamesListTheKnownOnes) {
  const auto policy = MakeEvictionPolicy("LRU");
  ASSERT_FALSE(policy.has_value());
  EXPECT_EQ(policy.error().code, ErrorCode::kInvalidArgument);
  for (const auto* name : kNames) {
    EXPECT_NE(policy.error().message.find(name), std::string::npos);
    EXPECT_EQ(Make(name)->Name(), name);
  }
}

TEST(EvictionTest, EmptyAndUnknownUnitsAreHarmless) {
  for (const auto* name : kNames) {
    const auto policy = Make(name);
    policy->Touch(5);
    policy->Update(5, {.key_word = 5, .bytes = 1, .saved_tokens = 1});
    policy->Erase(5);
    EXPECT_EQ(policy->PickVictim(Any, 100), std::nullopt) << name;
    EXPECT_EQ(policy->Worth(5), 0.0) << name;
    policy->Insert(5, {.key_word = 5, .bytes = 1, .saved_tokens = 1});
    policy->Erase(5);
    policy->Erase(5);
    EXPECT_EQ(policy->Size(), 0U) << name;
    EXPECT_EQ(policy->PickVictim(Any, 100), std::nullopt) << name;
  }
}

TEST(EvictionTest, GivesUpAfterTheStatedNumberOfRefusals) {
  for (const auto* name : kNames) {
    const auto policy = Make(name);
    for (UnitId id = 0; id < 10; ++id) {
      policy->Insert(id, {.key_word = id, .bytes = 100, .saved_tokens = 1});
    }
    std::size_t asked = 0;
    const auto none = [&](UnitId) { return ++asked == 0; };
    EXPECT_EQ(policy->PickVictim(none, 3), std::nullopt);
    EXPECT_EQ(asked, 4U) << name << ": three refusals are allowed, the fourth ends it";
    asked = 0;
    EXPECT_EQ(policy->PickVictim(none, 1000), std::nullopt);
    EXPECT_EQ(asked, 10U) << name << ": nobody is asked twice";
    EXPECT_EQ(policy->PickVictim([](UnitId id) { return id == 7; }, 9), UnitId{7}) << name;
    EXPECT_EQ(Drain(*policy).size(), 10U) << name;
  }
}

TEST(LruTest, OldestUseGoesFirst) {
  const auto policy = Make("lru");
  for (UnitId id = 0; id < 4; ++id) {
    policy->Insert(id, {.key_word = id, .bytes = 1});
  }
  policy->Touch(0);
  policy->Touch(2);
  EXPECT_EQ(Drain(*policy), std::vector<UnitId>({1, 3, 0, 2}));
}

TEST(LfuTest, FewestUsesGoFirstAndAgeBreaksTies) {
  const auto policy = Make("lfu");
  for (UnitId id = 0; id < 4; ++id) {
    policy->Insert(id, {.key_word = id, .bytes = 1});
  }
  for (const UnitId id : {3U, 0U, 0U, 1U}) {
    policy->Touch(id);
  }
  EXPECT_EQ(Drain(*policy), std::vector<UnitId>({2, 3, 1, 0}));
}

TEST(ValueTest, LeastSavedPrefillPerByteGoesFirst) {
  const auto policy = Make("value");
  policy->Insert(0, {.key_word = 10, .bytes = 1000, .saved_tokens = 5000});
  policy->Insert(1, {.key_word = 11, .bytes = 1000, .saved_tokens = 1000});
  policy->Insert(2, {.key_word = 12, .bytes = 100, .saved_tokens = 1000});
  policy->Insert(3, {.key_word = 13, .bytes = 1000, .saved_tokens = 1000});
  policy->Touch(3);
  EXPECT_EQ(Drain(*policy), std::vector<UnitId>({1, 3, 0, 2}));
}

// A branch appeared above it: what a hit saves shrinks, its history stays.
TEST(ValueTest, UpdateChangesWorthNotHistory) {
  const auto policy = Make("value");
  policy->Insert(0, {.key_word = 10, .bytes = 100, .saved_tokens = 900});
  policy->Insert(1, {.key_word = 11, .bytes = 100, .saved_tokens = 500});
  policy->Touch(0);
  policy->Update(0, {.key_word = 10, .bytes = 100, .saved_tokens = 300});
  EXPECT_EQ(policy->PickVictim(Any, 0), UnitId{1}) << "two uses of 300 beat one of 500";
  policy->Update(0, {.key_word = 10, .bytes = 100, .saved_tokens = 200});
  EXPECT_EQ(policy->PickVictim(Any, 0), UnitId{0});
}

// Without ageing a unit that was popular once would stay for ever.
TEST(ValueTest, UnusedUnitsAgeAgainstNewOnes) {
  const auto policy = Make("value");
  policy->Insert(0, {.key_word = 10, .bytes = 100, .saved_tokens = 100});
  for (int i = 0; i < 9; ++i) {
    policy->Touch(0);
  }
  UnitId id = 1;
  for (; id < 100; ++id) {
    policy->Insert(id, {.key_word = 1000 + id, .bytes = 100, .saved_tokens = 100});
    if (id < 5) {
      continue;
    }
    const auto victim = policy->PickVictim(Any, 0);
    policy->Erase(*victim);
    if (*victim == 0) {
      break;
    }
  }
  EXPECT_GT(id, 20U) << "ten uses must count for something";
  EXPECT_LT(id, 100U);
}

// The frequency memory outlives residency.
TEST(ValueTest, ReturningUnitsStartWarm) {
  const auto policy = Make("value");
  policy->Insert(0, {.key_word = 10, .bytes = 100, .saved_tokens = 100});
  policy->Touch(0);
  policy->Touch(0);
  policy->Erase(0);  // Not picked: the price of memory stays.
  policy->Insert(0, {.key_word = 10, .bytes = 100, .saved_tokens = 100});
  policy->Insert(1, {.key_word = 11, .bytes = 100, .saved_tokens = 300});
  EXPECT_EQ(Drain(*policy), std::vector<UnitId>({1, 0})) << "four uses of 100 beat one of 300";
}

TEST(ValueTest, OddFiguresDoNotBreakTheOrder) {
  const auto policy = Make("value");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  policy->Insert(0, {.key_word = 0, .bytes = 0, .saved_tokens = infinity});
  policy->Insert(1, {.key_word = 1, .bytes = 5, .saved_tokens = nan});
  policy->Insert(2, {.key_word = 2, .bytes = 5, .saved_tokens = -3});
  policy->Insert(3, {.key_word = 3, .bytes = 5, .saved_tokens = 3});
  EXPECT_EQ(Drain(*policy), std::vector<UnitId>({1, 2, 3, 0}));
}

// Fifty units are used over and over, then a scan of a thousand units used once passes through.
TEST(WTinyLfuTest, AScanDoesNotDisplaceFrequentUnits) {
  const auto policy = Make("w_tinylfu");
  constexpr std::size_t kRoom = 60;
  const auto insert = [&](UnitId id, std::uint64_t key_word) {
    if (policy->Size() == kRoom) {
      policy->Erase(*policy->PickVictim(Any, 0));
    }
    policy->Insert(id, {.key_word = key_word, .bytes = 100, .saved_tokens = 1});
  };
  for (UnitId id = 0; id < 50; ++id) {
    insert(id, id);
  }
  for (int round = 0; round < 5; ++round) {
    for (UnitId id = 0; id < 50; ++id) {
      policy->Touch(id);
    }
  }
  for (UnitId id = 1000; id < 2000; ++id) {
    insert(id, id);
  }
  std::size_t kept = 0;
  for (const UnitId id : Drain(*policy)) {
    kept += id < 50 ? 1U : 0U;
  }
  // The first eviction finds no newcomer to hold a contest with.
  EXPECT_GE(kept, 49U);
}

// Where new units do return, they must get in: the hot set moves.
TEST(WTinyLfuTest, ANewHotSetTakesOver) {
  const auto policy = Make("w_tinylfu");
  constexpr UnitId kRoom = 50;
  for (UnitId id = 0; id < kRoom; ++id) {
    policy->Insert(id, {.key_word = id, .bytes = 100, .saved_tokens = 1});
    policy->Touch(id);
    policy->Touch(id);
  }
  std::vector<bool> resident(3000, false);
  std::fill_n(resident.begin(), kRoom, true);
  int late_misses = 0;
  for (int round = 0; round < 60; ++round) {
    for (UnitId id = 1000; id < 1000 + kRoom - 10; ++id) {
      if (resident[id]) {
        policy->Touch(id);
        continue;
      }
      late_misses += round >= 40 ? 1 : 0;
      const UnitId victim = *policy->PickVictim(Any, 0);
      policy->Erase(victim);
      resident[victim] = false;
      policy->Insert(id, {.key_word = id, .bytes = 100, .saved_tokens = 1});
      resident[id] = true;
    }
  }
  EXPECT_LT(late_misses, 100) << "of 800";
}

}  // namespace
}  // namespace cairn

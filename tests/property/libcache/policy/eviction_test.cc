#include "libcache/policy/eviction.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <set>

#include "libcache/policy/frequency_sketch.h"

namespace cairn {
namespace {

/// What a policy should do, said as briefly as possible: every unit is ranked at every pick.
class Naive {
 public:
  explicit Naive(std::string name) : name_(std::move(name)) {}

  void Insert(UnitId id, const EvictionUnit& unit) {
    sketch_.EnsureCapacity(units_.size() + 1);
    sketch_.Add(unit.key_word);
    units_[id] = {.unit = unit,
                  .uses = name_ == "value" ? sketch_.Estimate(unit.key_word) : 1,
                  .last_use = ++clock_,
                  .inflation = inflation_,
                  .picked = false};
  }
  void Touch(UnitId id) {
    if (const auto at = units_.find(id); at != units_.end()) {
      sketch_.Add(at->second.unit.key_word);
      ++at->second.uses;
      at->second.last_use = ++clock_;
      at->second.inflation = inflation_;
      at->second.picked = false;
    }
  }
  void Update(UnitId id, const EvictionUnit& unit) {
    if (const auto at = units_.find(id); at != units_.end()) {
      at->second.unit = unit;
    }
  }
  void Erase(UnitId id) {
    if (const auto at = units_.find(id); at != units_.end()) {
      if (at->second.picked) {
        inflation_ = std::max(inflation_, Priority(at->second));
      }
      units_.erase(at);
    }
  }
  std::optional<UnitId> PickVictim(const std::set<UnitId>& refused, std::size_t max_refused) {
    std::vector<UnitId> order;
    for (const auto& [id, record] : units_) {
      order.push_back(id);
    }
    std::sort(order.begin(), order.end(),
              [this](UnitId a, UnitId b) { return Rank(units_[a]) < Rank(units_[b]); });
    std::size_t refusals = 0;
    for (const UnitId id : order) {
      if (!refused.contains(id)) {
        units_[id].picked = true;
        return id;
      }
      if (++refusals > max_refused) {
        break;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::size_t Size() const { return units_.size(); }

 private:
  struct Record {
    EvictionUnit unit;
    std::uint32_t uses = 0;
    std::uint64_t last_use = 0;
    double inflation = 0;
    bool picked = false;
  };

  static double Priority(const Record& record) {
    return record.inflation +
           record.uses * (record.unit.saved_tokens / static_cast<double>(record.unit.bytes));
  }
  [[nodiscard]] std::pair<double, std::uint64_t> Rank(const Record& record) const {
    const double first = name_ == "lru" ? 0 : name_ == "lfu" ? record.uses : Priority(record);
    return {first, record.last_use};
  }

  std::string name_;
  std::map<UnitId, Record> units_;
  FrequencySketch sketch_;
  std::uint64_t clock_ = 0;
  double inflation_ = 0;
};

/// Uniform from the first case on: inRange alone grows its range with the case number, so that the
/// upper choices would hardly ever be drawn.
template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

constexpr UnitId kIds = 24;

/// Few distinct figures, so that ties happen.
EvictionUnit AnyUnit() {
  return {.key_word = Draw<std::uint64_t>(0, 40),
          .bytes = Draw<std::uint64_t>(1, 6) * 100,
          .saved_tokens = static_cast<double>(Draw(0, 5) * 64)};
}

std::set<UnitId> AnyRefused() {
  std::set<UnitId> refused;
  for (auto count = Draw<UnitId>(0, kIds); count > 0; --count) {
    refused.insert(Draw<UnitId>(0, kIds));
  }
  return refused;
}

/// Drives a policy and something else, the model or a second policy, through the same calls.
/// `pick` picks on both sides, compares, and returns the victim.
template <class Other, class Pick>
void Drive(EvictionPolicy& policy, Other& other, Pick pick) {
  std::set<UnitId> present;
  const int steps = *rc::gen::inRange(20, 400);  // Grows; short ones shrink best.
  for (int i = 0; i < steps; ++i) {
    const UnitId id = Draw<UnitId>(0, kIds);
    switch (Draw(0, 8)) {
      case 0:
      case 1:
      case 2:
        if (present.insert(id).second) {
          const EvictionUnit unit = AnyUnit();
          policy.Insert(id, unit);
          other.Insert(id, unit);
        }
        break;
      case 3:
      case 4:
        policy.Touch(id);
        other.Touch(id);
        break;
      case 5: {
        const EvictionUnit unit = AnyUnit();
        policy.Update(id, unit);
        other.Update(id, unit);
        break;
      }
      case 6:
        policy.Erase(id);
        other.Erase(id);
        present.erase(id);
        break;
      default: {
        const std::optional<UnitId> victim = pick(present);
        if (victim && *rc::gen::arbitrary<bool>()) {
          policy.Erase(*victim);
          other.Erase(*victim);
          present.erase(*victim);
        }
      }
    }
    RC_ASSERT(policy.Size() == present.size());
  }
}

void AgreesWithModel(const std::string& name) {
  const auto policy = std::move(MakeEvictionPolicy(name)).value();
  Naive model(name);
  Drive(*policy, model, [&](const std::set<UnitId>&) {
    const auto refused = AnyRefused();
    const auto max_refused = Draw<std::size_t>(0, kIds);
    const auto victim =
        policy->PickVictim([&](UnitId id) { return !refused.contains(id); }, max_refused);
    RC_ASSERT(victim == model.PickVictim(refused, max_refused));
    return victim;
  });
}

RC_GTEST_PROP(EvictionProperty, LruAgreesWithItsModel, ()) { AgreesWithModel("lru"); }
RC_GTEST_PROP(EvictionProperty, LfuAgreesWithItsModel, ()) { AgreesWithModel("lfu"); }
RC_GTEST_PROP(EvictionProperty, ValueAgreesWithItsModel, ()) { AgreesWithModel("value"); }

// W-TinyLFU has no short model. Whatever was called, a victim is present and acceptable, refusals
// hide nobody, and nobody is asked twice.
RC_GTEST_PROP(EvictionProperty, EveryPolicyOffersEveryPresentUnitOnce, ()) {
  const std::string name = *rc::gen::element<std::string>("value", "lru", "lfu", "w_tinylfu");
  const auto policy = std::move(MakeEvictionPolicy(name)).value();
  Naive ignored("lru");
  Drive(*policy, ignored, [&](const std::set<UnitId>& present) {
    std::vector<UnitId> asked;
    const auto none = policy->PickVictim(
        [&](UnitId id) {
          asked.push_back(id);
          return false;
        },
        kIds);
    RC_ASSERT(!none.has_value());
    RC_ASSERT(asked.size() == present.size());
    RC_ASSERT(std::set<UnitId>(asked.begin(), asked.end()) == present);
    const auto victim = policy->PickVictim([](UnitId) { return true; }, 0);
    RC_ASSERT(victim.has_value() == !present.empty());
    if (victim) {
      RC_ASSERT(*victim == asked.front());
    }
    return victim;
  });
}

// Worth must rank neighbours as the policy itself would: what goes later is worth no less.
RC_GTEST_PROP(EvictionProperty, WorthFollowsTheOrderOfVictims, ()) {
  const std::string name = *rc::gen::element<std::string>("value", "lru", "lfu");
  const auto policy = std::move(MakeEvictionPolicy(name)).value();
  Naive ignored("lru");
  Drive(*policy, ignored, [&](const std::set<UnitId>& present) {
    double last = 0;
    const auto none = policy->PickVictim(
        [&](UnitId id) {
          RC_ASSERT(policy->Worth(id) >= last);
          last = policy->Worth(id);
          return false;
        },
        kIds);
    RC_ASSERT(!none.has_value());
    for (UnitId id = 0; id < kIds; ++id) {
      if (name != "value") {  // There, what aged away is worth nothing though present.
        RC_ASSERT((policy->Worth(id) > 0) == present.contains(id));
      }
    }
    return policy->PickVictim([](UnitId) { return true; }, 0);
  });
}

RC_GTEST_PROP(EvictionProperty, SameCallsSameVictims, ()) {
  const std::string name = *rc::gen::element<std::string>("value", "lru", "lfu", "w_tinylfu");
  const auto policy = std::move(MakeEvictionPolicy(name)).value();
  const auto twin = std::move(MakeEvictionPolicy(name)).value();
  Drive(*policy, *twin, [&](const std::set<UnitId>&) {
    const auto refused = AnyRefused();
    const auto accept = [&](UnitId id) { return !refused.contains(id); };
    const auto victim = policy->PickVictim(accept, kIds);
    RC_ASSERT(victim == twin->PickVictim(accept, kIds));
    return victim;
  });
}

RC_GTEST_PROP(FrequencySketchProperty, NeverUnderestimatesBetweenHalvings, ()) {
  FrequencySketch sketch;
  std::map<std::uint64_t, std::uint32_t> uses;
  const auto keys = Draw<std::uint64_t>(1, 3000);
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  for (int i = 0; i < 9000; ++i) {
    const std::uint64_t key = random() % keys;
    sketch.Add(key);
    ++uses[key];
    if (i == 4000) {
      sketch.EnsureCapacity(3000);
    }
  }
  for (const auto& [key, count] : uses) {
    RC_ASSERT(sketch.Estimate(key) >= std::min(count, FrequencySketch::kMaxCount));
  }
}

/// Hits of a cache of `room` equal units on a stream of keys.
int Hits(const std::string& name, std::size_t room, const std::vector<std::uint64_t>& keys) {
  const auto policy = std::move(MakeEvictionPolicy(name)).value();
  std::map<std::uint64_t, UnitId> resident;
  std::vector<std::uint64_t> key_of(room);
  int hits = 0;
  for (const std::uint64_t key : keys) {
    if (const auto at = resident.find(key); at != resident.end()) {
      policy->Touch(at->second);
      ++hits;
      continue;
    }
    auto id = static_cast<UnitId>(resident.size());
    if (resident.size() == room) {
      id = *policy->PickVictim([](UnitId) { return true; }, 0);
      policy->Erase(id);
      resident.erase(key_of[id]);
    }
    policy->Insert(id, {.key_word = key, .bytes = 4096, .saved_tokens = 512});
    resident[key] = id;
    key_of[id] = key;
  }
  return hits;
}

// A popular set with a long tail, and a scan of a thousand keys used once in every 5,000 requests.
TEST(EvictionStreams, FrequencyResistsScansBetterThanRecency) {
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint64_t> keys;
    std::uint64_t scan = 1'000'000;
    while (keys.size() < 30'000) {
      for (int i = 0; i < 4000; ++i) {
        const double u = static_cast<double>(random() >> 11U) / 9007199254740992.0;
        keys.push_back(static_cast<std::uint64_t>(2000 * u * u * u));
      }
      for (int i = 0; i < 1000; ++i) {
        keys.push_back(scan++);
      }
    }
    const int lru = Hits("lru", 300, keys);
    const int lfu = Hits("lfu", 300, keys);
    const int value = Hits("value", 300, keys);
    const int w_tinylfu = Hits("w_tinylfu", 300, keys);
    std::printf("seed %u, hits of %zu: lru %d, lfu %d, value %d, w_tinylfu %d\n", seed, keys.size(),
                lru, lfu, value, w_tinylfu);
    EXPECT_GT(w_tinylfu, lru + lru / 20);
    EXPECT_GT(value, lru);
  }
}

}  // namespace
}  // namespace cairn

#include "libcache/placement/learned_placement.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace cairn {
namespace {

/// Prompts in a trie that the test keeps itself: where a place is in it the placement decides.
class Driver {
 public:
  Driver(std::uint32_t seed, const LearnedPlacement::Config& config)
      : config_(config), random_(seed), placement_(config) {
    for (auto owners = 1 + random_() % 3; owners > 0; --owners) {
      const LearnedPlacement::Owner owner{
          .tenant = static_cast<std::uint8_t>(random_()),
          .checkpoint_bytes = random_() % 3 * 1'000'000,
          .kv_bytes_per_token = random_() % 3 * 1000,
          .grain_tokens = static_cast<std::uint32_t>(1 + random_() % 64),
          .cost = {.per_token_s = 1e-4, .per_pair_s = random_() % 2 == 0 ? 0 : 1e-9}};
      owners_.push_back(owner);
      roots_.push_back(placement_.AddOwner(owner, 0));
    }
  }

  void Request() {
    const std::size_t owner = random_() % owners_.size();
    const std::uint32_t grain = owners_[owner].grain_tokens;
    LearnedPlacement::Request request;
    request.now_s = Clock();
    request.root = roots_[owner];
    request.edge = roots_[owner];
    // Some place that is still known, and some position on its edge.
    if (!known_[owner].empty() && random_() % 4 != 0) {
      const SiteRef ref = known_[owner][random_() % known_[owner].size()];
      if (placement_.tree().Valid(ref)) {
        const std::uint32_t edge = placement_.tree().EdgeTokens(ref.id) / grain;
        const auto back = random_() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random_() % edge);
        request.edge = ref;
        request.overlap = placement_.tree().site(ref.id).position - back * grain;
      }
    }
    request.extends = random_() % 8 != 0;
    request.end = request.overlap;
    if (request.extends) {
      request.end += grain * static_cast<std::uint32_t>(1 + random_() % 200);
    }
    request.resume =
        request.overlap / grain / static_cast<std::uint32_t>(1 + random_() % 4) * grain;
    request.kv_resident = request.resume;
    const auto places = placement_.Observe(request);
    for (const SiteRef ref : {places.junction, places.tip}) {
      if (placement_.tree().Valid(ref) && placement_.tree().site(ref.id).parent != kNoSite) {
        known_[owner].push_back(ref);
      }
    }
    const double price =
        random_() % 2 == 0 ? 0 : std::pow(10.0, static_cast<double>(random_() % 8) - 12);
    const auto plan = placement_.Plan(request, places, price);
    CheckPlan(request, grain, plan);
    AddUp(request, owner, plan);
    for (const auto& planned : plan) {
      checkpoints_[placement_.Add(planned, 7, request.now_s)] = true;
    }
    if (random_() % 2 == 0) {
      placement_.Answered(places.tip, static_cast<std::uint32_t>(random_()));
    }
  }

  void EvictTo(std::size_t count) {
    while (checkpoints_.size() > count) {
      const auto victim = placement_.Victim(now_s_);
      RC_ASSERT(victim.has_value() && checkpoints_.contains(*victim));
      placement_.Remove(*victim);
      checkpoints_.erase(*victim);
    }
    RC_ASSERT(placement_.Victim(now_s_).has_value() == !checkpoints_.empty());
  }

  void CheckValues() {
    for (const auto& [id, there] : checkpoints_) {
      RC_ASSERT(placement_.tree().checkpoint(id).live);
      const double value = placement_.Value(id);
      RC_ASSERT(std::isfinite(value) && value >= 0);
      const double bytes = placement_.BytesFreed(id);
      RC_ASSERT(std::isfinite(bytes) && bytes >= 0);
    }
  }

  /// How many of those that are kept are worth less than half of what would go first.
  [[nodiscard]] std::size_t WorseThanTheVictim() {
    const auto victim = placement_.Victim(now_s_);
    std::size_t worse = 0;
    for (const auto& [id, there] : checkpoints_) {
      worse += placement_.Value(id) < placement_.Value(*victim) / 2 ? 1 : 0;
    }
    return worse;
  }
  [[nodiscard]] std::size_t kept() const { return checkpoints_.size(); }
  [[nodiscard]] const LearnedPlacement& placement() const { return placement_; }

  bool odd_times = false;

 private:
  double Clock() {
    now_s_ += random_() % 32 == 0 ? 3000.0 : static_cast<double>(random_() % 100) / 10;
    if (odd_times && random_() % 4 == 0) {
      return random_() % 2 == 0 ? std::nan("") : -now_s_;
    }
    return now_s_;
  }
  void CheckPlan(const LearnedPlacement::Request& request, std::uint32_t grain,
                 const std::vector<LearnedPlacement::Planned>& plan) {
    RC_ASSERT(plan.size() <= config_.max_plan);
    std::uint32_t last = request.resume;
    for (const auto& planned : plan) {
      RC_ASSERT(planned.position > last && planned.position <= request.end);
      RC_ASSERT(planned.position % grain == 0U);
      const Site& site = placement_.tree().site(planned.site);
      RC_ASSERT(site.live && planned.position <= site.position);
      RC_ASSERT(planned.position + placement_.tree().EdgeTokens(planned.site) > site.position);
      last = planned.position;
    }
  }
  void AddUp(const LearnedPlacement::Request& request, std::size_t owner,
             const std::vector<LearnedPlacement::Planned>& plan) {
    if (!plan.empty()) {
      planned_bytes_ +=
          plan.size() * owners_[owner].checkpoint_bytes +
          (plan.back().position - request.kv_resident) * owners_[owner].kv_bytes_per_token;
    }
    if (config_.bounded_writes) {
      RC_ASSERT(planned_bytes_ <= placement_.shadow().written_bytes());
    }
  }

  const LearnedPlacement::Config config_;
  std::mt19937_64 random_;
  LearnedPlacement placement_;
  std::vector<LearnedPlacement::Owner> owners_;
  std::vector<SiteRef> roots_;
  std::map<std::size_t, std::vector<SiteRef>> known_;
  std::map<CheckpointId, bool> checkpoints_;
  std::uint64_t planned_bytes_ = 0;
  double now_s_ = 0;
};

LearnedPlacement::Config AnyConfig() {
  LearnedPlacement::Config config;
  config.max_sites = *rc::gen::element<std::uint32_t>(8, 30, 1000);
  config.capacity_bytes = *rc::gen::element<std::uint64_t>(0, 10'000'000, 1'000'000'000);
  config.max_plan = *rc::gen::element<std::size_t>(0, 1, 2, 1000);
  config.learn_reuse = *rc::gen::arbitrary<bool>();
  config.learn_distance = *rc::gen::arbitrary<bool>();
  config.admission = *rc::gen::arbitrary<bool>();
  config.bounded_writes = *rc::gen::arbitrary<bool>();
  return config;
}

RC_GTEST_PROP(LearnedPlacementProperty, PlansAreSoundAndWritesAreBounded, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto config = AnyConfig();
  Driver driver(seed, config);
  driver.odd_times = *rc::gen::arbitrary<bool>();
  for (int i = *rc::gen::inRange(1, 300); i > 0; --i) {
    driver.Request();
    driver.EvictTo(i % 7 == 0 ? 3 : 20);
    if (i % 16 == 0) {
      driver.CheckValues();
    }
  }
  RC_ASSERT(driver.placement().tree().sites() <= config.max_sites);
}

// Values are refreshed when something near changes or a place grows older by a bin, so the order
// may be a little stale, but what goes first must be among the least.
TEST(LearnedPlacementVictims, TheLeastValuableGoesFirst) {
  std::size_t worse = 0;
  std::size_t all = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    LearnedPlacement::Config config;
    config.bounded_writes = false;
    Driver driver(seed, config);
    for (int i = 0; i < 300; ++i) {
      driver.Request();
      driver.EvictTo(40);
      if (i > 100 && driver.kept() > 0) {
        worse += driver.WorseThanTheVictim();
        all += driver.kept();
      }
    }
  }
  EXPECT_GT(all, 10'000U);
  EXPECT_LT(static_cast<double>(worse), 0.02 * static_cast<double>(all)) << "of " << all;
}

}  // namespace
}  // namespace cairn

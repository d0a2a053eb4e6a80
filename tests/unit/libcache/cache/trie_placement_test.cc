// The planner "trie" in a cache: what it asks for, what it keeps, what it remembers.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "tests/unit/libcache/cache/cache_fixture.h"

namespace cairn {
namespace {

using namespace std::chrono_literals;

class TriePlacementTest : public CacheFixture {
 protected:
  static Cache::Config Learning() {
    Cache::Config config = SmallConfig();
    config.planner = "trie";
    return config;
  }

  /// What an engine does with a request: match, prefill, store what was planned. Returns the
  /// position it resumed from.
  std::uint32_t Serve(std::span<const std::uint32_t> tokens) {
    const MatchResult match = MatchOf(tokens);
    plan_ = match.plan;
    resumed_ = match.boundaries.empty() ? 0 : match.boundaries[match.best].position;
    if (!plan_.empty()) {
      for (std::uint32_t at = kBlock; at <= plan_.back(); at += kBlock) {
        StoreAt(tokens, ObjectKind::kKv, at);
      }
    }
    for (const std::uint32_t position : plan_) {
      StoreAt(tokens, ObjectKind::kCheckpoint, position);
    }
    return resumed_;
  }

  /// The prompts of conversation `number`: each turn adds 64 tokens to the one before.
  static std::vector<std::uint32_t> Turn(std::uint32_t number, std::uint32_t turn) {
    return Tokens(64 * (turn + 1), 1'000'000 * (number + 1));
  }

  void Converse(std::uint32_t first, std::uint32_t count, std::uint32_t turns) {
    for (std::uint32_t number = first; number < first + count; ++number) {
      for (std::uint32_t turn = 0; turn < turns; ++turn) {
        Serve(Turn(number, turn));
        clock_.Advance(5s);
      }
    }
  }

  [[nodiscard]] std::vector<PlaceRecord> AllPlaces() const {
    std::vector<PlaceRecord> places;
    std::uint32_t from = 0;
    do {
      auto page = cache_->LearnedPlaces(from);
      EXPECT_TRUE(page.has_value());
      places.insert(places.end(), page->places.begin(), page->places.end());
      from = page->next;
    } while (from != 0);
    std::sort(places.begin(), places.end(),
              [](const PlaceRecord& a, const PlaceRecord& b) { return a.position < b.position; });
    return places;
  }

  /// No namespace is open when the statistics come, as after a restart without an SSD.
  void Reopen(Cache::Config config) {
    cache_->EndSession(session_);
    config.clock = &clock_;
    auto cache = Cache::Open(config, nullptr);
    ASSERT_TRUE(cache.has_value());
    cache_ = std::move(*cache);
  }
  void OpenNamespace() {
    session_ = cache_->BeginSession();
    space_ = cache_->OpenNamespace(Spec())->id;
  }

  /// One and two blocks deep, the latter unused for long, by position as a file may have them.
  [[nodiscard]] std::vector<PlaceRecord> ShallowUsedLast(std::uint32_t count) const {
    std::vector<PlaceRecord> places;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t position = kBlock * (1 + i % 2);
      places.push_back({.key = Keys(Tokens(position, 1000 * (i + 1))).back(),
                        .above = seed_,
                        .position = position,
                        .what = {.mass = 1, .age_s = i % 2 == 0 ? 10.0 : 1e6, .uses = 1}});
    }
    std::sort(places.begin(), places.end(),
              [](const PlaceRecord& a, const PlaceRecord& b) { return a.position < b.position; });
    return places;
  }
  [[nodiscard]] std::size_t ShallowPlaces() const {
    const auto places = AllPlaces();
    return static_cast<std::size_t>(
        std::count_if(places.begin(), places.end(),
                      [](const PlaceRecord& place) { return place.position == kBlock; }));
  }

  std::vector<std::uint32_t> plan_;
  std::uint32_t resumed_ = 0;
};

TEST_F(TriePlacementTest, LearnsThatConversationsGoOn) {
  Open(Learning());
  Converse(0, 30, 6);
  // A conversation never seen before: its turns resume where the one before ended.
  std::uint32_t resumed = 0;
  for (std::uint32_t turn = 0; turn < 6; ++turn) {
    resumed += Serve(Turn(100, turn));
    clock_.Advance(5s);
  }
  EXPECT_GE(resumed, 64U * (1 + 2 + 3 + 4));
  const auto summary = cache_->Placement(10);
  ASSERT_TRUE(summary.has_value());
  EXPECT_GT(summary->places, 100U);
  EXPECT_GT(summary->checkpoints, 0U);
  EXPECT_LE(summary->planned_bytes, static_cast<double>(summary->engine_written_bytes));
}

TEST_F(TriePlacementTest, WritesNothingWhereNothingReturns) {
  Open(Learning());
  std::size_t planned_late = 0;
  for (std::uint32_t number = 0; number < 600; ++number) {
    Serve(Tokens(128, 1'000'000 * (number + 1)));
    clock_.Advance(3s);
    planned_late += number >= 300 ? plan_.size() : 0;
  }
  EXPECT_LE(planned_late, 30U);
}

TEST_F(TriePlacementTest, WhatIsLeftBehindGoesFirst) {
  Cache::Config config = Learning();
  config.host_bytes = 2 * kMiB;
  Open(config);
  Converse(0, 150, 6);
  // Memory holds far less than was planned. Of a conversation that went on, the last turn's state
  // is worth more than those before it.
  const auto last = Turn(200, 5);
  for (std::uint32_t turn = 0; turn < 6; ++turn) {
    Serve(Turn(200, turn));
    clock_.Advance(5s);
  }
  const auto path = cache_->ExplainPlacement(Keys(last).back().Hex());
  ASSERT_TRUE(path.has_value()) << ToString(path.error());
  ASSERT_FALSE(path->kept.empty());
  EXPECT_GT(cache_->Stats().evictions[static_cast<std::size_t>(EvictReason::kCapacity)], 0U);
  const auto best = std::max_element(path->kept.begin(), path->kept.end(),
                                     [](const CheckpointView& a, const CheckpointView& b) {
                                       return a.value_per_byte_s < b.value_per_byte_s;
                                     });
  EXPECT_EQ(best->position, path->kept.back().position);
}

TEST_F(TriePlacementTest, ExplainsAPath) {
  Open(Learning());
  Converse(0, 20, 4);
  const auto prompt = Turn(3, 3);
  const auto path = cache_->ExplainPlacement(Keys(prompt).back().Hex());
  ASSERT_TRUE(path.has_value());
  ASSERT_EQ(path->places.size(), 4U);  // An end per turn.
  for (std::uint32_t turn = 0; turn < 4; ++turn) {
    EXPECT_EQ(path->places[turn].position, 64 * (turn + 1));
    EXPECT_EQ(path->places[turn].key, Keys(Turn(3, turn)).back());
  }
  EXPECT_EQ(path->places[0].uses, 1U);
  EXPECT_EQ(path->places[3].uses, 0U);
  EXPECT_EQ(path->places[3].kind, SiteKind::kTip);
  EXPECT_GT(path->places[0].mass, 0);
  std::vector<std::uint32_t> kept;
  for (const CheckpointView& view : path->kept) {
    kept.push_back(view.position);
    EXPECT_GE(view.bytes, static_cast<double>(kState));
  }
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_EQ(path->next.has_value(), kept.size() < 4);
  if (path->next) {
    EXPECT_EQ(std::count(kept.begin(), kept.end(), path->next->position), 0);
  }
}

TEST_F(TriePlacementTest, OtherPlannersHaveNothingToShow) {
  Open(SmallConfig());
  EXPECT_EQ(cache_->Placement(10).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cache_->ExplainPlacement("00").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cache_->LearnedModels().error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cache_->LearnedPlaces(0).error().code, ErrorCode::kUnsupported);
}

TEST_F(TriePlacementTest, WhatWasLearnedSurvivesARestart) {
  Open(Learning());
  Converse(0, 30, 6);
  const auto models = cache_->LearnedModels();
  ASSERT_TRUE(models.has_value());
  const auto places = AllPlaces();
  EXPECT_EQ(places.size(), cache_->Placement(0)->places - 1);  // Without the root.
  cache_->EndSession(session_);

  Open(Learning());
  ASSERT_TRUE(cache_->MergeLearnedModels(*models).has_value());
  const auto taken = cache_->MergeLearnedPlaces(places);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(*taken, places.size());
  EXPECT_EQ(cache_->Placement(0)->waiting_places, places.size());
  // The bytes are gone, the memory of the prefix is not.
  const MatchResult match = MatchOf(Turn(7, 3));
  EXPECT_EQ(match.overlap_tokens, 64U * 4);
  EXPECT_TRUE(match.boundaries.empty());
  // Nor is what conversations do.
  std::uint32_t resumed = 0;
  for (std::uint32_t turn = 0; turn < 4; ++turn) {
    resumed += Serve(Turn(100, turn));
    clock_.Advance(5s);
  }
  EXPECT_GE(resumed, 64U * (1 + 2));
}

// The blocks between two places of before a restart lie on the edge that they lay on then.
TEST_F(TriePlacementTest, AfterARestartPromptsPartWhereTheyPart) {
  Open(Learning());
  Converse(0, 1, 4);
  const auto places = AllPlaces();
  cache_->EndSession(session_);
  Open(Learning());
  ASSERT_EQ(*cache_->MergeLearnedPlaces(places), places.size());
  const auto whole = Turn(0, 3);
  const auto positions = [this, &whole] {
    std::vector<std::uint32_t> all;
    const auto path = cache_->ExplainPlacement(Keys(whole).back().Hex());
    for (const PlaceView& view : path->places) {
      all.push_back(view.position);
    }
    return all;
  };
  // All of it but the last token at most was seen before: nothing goes on from 192 anew.
  MatchOf(whole);
  EXPECT_EQ(positions(), (std::vector<std::uint32_t>{64, 128, 192, 240, 256}));
  auto other = Turn(0, 3);
  std::fill(other.begin() + 96, other.end(), 7);
  MatchOf(other);
  EXPECT_EQ(positions(), (std::vector<std::uint32_t>{64, 96, 128, 192, 240, 256}));
}

TEST_F(TriePlacementTest, WhatWasLearnedWaitsForItsNamespace) {
  Open(Learning());
  Converse(0, 10, 4);
  const auto places = AllPlaces();
  Reopen(Learning());
  EXPECT_EQ(*cache_->MergeLearnedPlaces(places), places.size());
  EXPECT_EQ(cache_->Placement(0)->places, 0U);
  EXPECT_EQ(AllPlaces().size(), places.size()) << "they can be written down again";
  clock_.Advance(60s);
  OpenNamespace();
  EXPECT_EQ(cache_->Placement(0)->places, places.size() + 1);
  EXPECT_EQ(AllPlaces().size(), places.size());
  EXPECT_EQ(MatchOf(Turn(7, 3)).overlap_tokens, 64U * 4);
  const auto path = cache_->ExplainPlacement(Keys(Turn(7, 3)).back().Hex());
  ASSERT_EQ(path->places.size(), 5U);  // And where the whole prompt came by again, without its end.
  EXPECT_GE(path->places[0].idle_s, 60);
}

// More than there is room for: the places that were used last stay, whatever their depth.
TEST_F(TriePlacementTest, AfterALoadTheLongestUnusedGoFirst) {
  Cache::Config config = Learning();
  config.placement_bytes = 0;  // 1,024 places.
  Open(config);
  std::vector<PlaceRecord> places = ShallowUsedLast(1000);
  ASSERT_EQ(*cache_->MergeLearnedPlaces(places), 1000U);
  cache_->SortLearnedPlaces();
  for (std::uint32_t i = 0; i < 200; ++i) {
    MatchOf(Tokens(64, 5'000'000 + 1000 * i));
  }
  EXPECT_EQ(ShallowPlaces(), 500U);
  // A record too many for all tables, again and again, is no standstill.
  for (int round = 0; round < 5; ++round) {
    for (PlaceRecord& place : places) {
      place.key.bytes[31] ^= static_cast<std::byte>(round + 1);
    }
    ASSERT_TRUE(cache_->MergeLearnedPlaces(places).has_value());
  }
  EXPECT_LE(cache_->Placement(0)->waiting_places, 2 * 1024U);
}

TEST_F(TriePlacementTest, SoTheyDoWhenTheyWaitedForTheirNamespace) {
  Cache::Config config = Learning();
  config.placement_bytes = 0;
  Open(config);
  const std::vector<PlaceRecord> places = ShallowUsedLast(1000);
  Reopen(config);
  ASSERT_EQ(*cache_->MergeLearnedPlaces(places), 1000U);
  cache_->SortLearnedPlaces();
  OpenNamespace();
  for (std::uint32_t i = 0; i < 200; ++i) {
    MatchOf(Tokens(64, 5'000'000 + 1000 * i));
  }
  EXPECT_EQ(ShallowPlaces(), 500U);
}

// Memory is full of what nobody reads, and that is what memory is worth: a first checkpoint may
// come in, though a few others are worth much.
TEST_F(TriePlacementTest, MemoryCostsWhatTheLeastOfAllInItIsWorth) {
  Cache::Config config = Learning();
  config.host_bytes = 2 * kMiB;
  Open(config);
  Converse(0, 150, 6);
  const auto hybrid = std::pair(space_, seed_);
  NamespaceSpec attention_only = Spec();
  attention_only.model = "attention only";
  attention_only.checkpoint_bytes = 0;
  const auto opened = cache_->OpenNamespace(attention_only);
  ASSERT_TRUE(opened.has_value());
  std::tie(space_, seed_) = std::pair(opened->id, opened->seed);
  for (std::uint32_t i = 0; i < 3000; ++i) {
    StoreAt(Tokens(kBlock, 7'000'000 + 1000 * i), ObjectKind::kKv, kBlock);
    clock_.Advance(100ms);
  }
  std::tie(space_, seed_) = hybrid;
  const auto full = cache_->Placement(0);
  ASSERT_GT(full->plain, full->checkpoints);
  ASSERT_GT(full->price_per_byte_s, 0) << "memory is full";
  // All that asks for room finds worthless bytes that could go.
  for (std::uint32_t i = 0; i < 400; ++i) {
    MatchOf(Tokens(64, 9'000'000 + 1000 * i));
    clock_.Advance(100ms);
  }
  EXPECT_LT(cache_->Placement(0)->price_per_byte_s, full->price_per_byte_s / 2);
}

TEST_F(TriePlacementTest, MergingAddsUp) {
  Open(Learning());
  Converse(0, 10, 3);
  const auto places = AllPlaces();
  const auto before = cache_->ExplainPlacement(Keys(Turn(4, 0)).back().Hex());
  ASSERT_TRUE(before.has_value());
  ASSERT_EQ(*cache_->MergeLearnedPlaces(places), places.size());  // Of one that saw the same.
  const auto after = cache_->ExplainPlacement(Keys(Turn(4, 0)).back().Hex());
  EXPECT_EQ(after->places[0].uses, 2 * before->places[0].uses);
  EXPECT_NEAR(after->places[0].mass, 2 * before->places[0].mass, 1e-9);
  EXPECT_EQ(cache_->Placement(0)->waiting_places, 0U);
}

TEST_F(TriePlacementTest, BadStatisticsAreRefused) {
  Open(Learning());
  PlacementModels models = *cache_->LearnedModels();
  models.reuse[7] = -1;
  EXPECT_EQ(cache_->MergeLearnedModels(models).error().code, ErrorCode::kCorrupt);
  models = *cache_->LearnedModels();
  models.distance.pop_back();
  EXPECT_EQ(cache_->MergeLearnedModels(models).error().code, ErrorCode::kCorrupt);
  // Of another version is one model at a time: the other counts, unless it is damaged.
  models = *cache_->LearnedModels();
  ++models.reuse[0];
  models.distance[1] += 8;
  const double seen = cache_->LearnedModels()->distance[1];
  EXPECT_EQ(cache_->MergeLearnedModels(models).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cache_->LearnedModels()->distance[1], 2 * seen + 8);
  models.distance[2] = -1;
  EXPECT_EQ(cache_->MergeLearnedModels(models).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(cache_->LearnedModels()->distance[1], 2 * seen + 8);
  // A place that hangs from nothing we know, one above its parent, one at a wrong depth.
  PlaceRecord loose{.key = Keys(Tokens(16)).back(),
                    .above = Keys(Tokens(16, 9)).back(),
                    .position = 32,
                    .what = {}};
  EXPECT_EQ(*cache_->MergeLearnedPlaces({&loose, 1}), 1U);
  EXPECT_EQ(cache_->Placement(0)->places, 1U) << "it waits for a namespace that never comes";
  PlaceRecord itself = loose;
  itself.key = itself.above;
  EXPECT_EQ(*cache_->MergeLearnedPlaces({&itself, 1}), 0U);
  PlaceRecord flat{.key = Keys(Tokens(16)).back(), .above = seed_, .position = 0, .what = {}};
  EXPECT_EQ(*cache_->MergeLearnedPlaces({&flat, 1}), 0U);
  PlaceRecord wrong{.key = Keys(Tokens(16)).back(), .above = seed_, .position = 48, .what = {}};
  EXPECT_EQ(*cache_->MergeLearnedPlaces({&wrong, 1}), 1U);
  EXPECT_EQ(MatchOf(Tokens(64)).overlap_tokens, 0U);
}

// Statistics that hang one tenant's prefixes below another's root: nobody's prompts become
// another's.
TEST_F(TriePlacementTest, APlaceBelowAnotherNamespaceIsNobodys) {
  Open(Learning());
  NamespaceSpec other = Spec();
  other.tenant = "other";
  const PrefixKey other_seed = cache_->OpenNamespace(other)->seed;
  const auto below_other = [&other_seed](const PrefixKey& key, std::uint32_t position) {
    return PlaceRecord{
        .key = key, .above = other_seed, .position = position, .what = {.mass = 9, .uses = 9}};
  };
  // The prefix comes by later.
  const auto unseen = Tokens(64);
  const PlaceRecord early = below_other(Keys(unseen).back(), 64);
  ASSERT_TRUE(cache_->MergeLearnedPlaces({&early, 1}).has_value());
  EXPECT_EQ(MatchOf(unseen).overlap_tokens, 0U);
  const auto path = cache_->ExplainPlacement(Keys(unseen).back().Hex());
  ASSERT_EQ(path->places.size(), 1U);
  EXPECT_EQ(path->places[0].name_space, space_);
  EXPECT_EQ(path->places[0].uses, 0U);
  // It is there already, and lies on no edge.
  const auto stored = Tokens(16, 7000);
  ASSERT_EQ(StoreAt(stored, ObjectKind::kKv, 16), ErrorCode::kOk);
  const PlaceRecord late = below_other(Keys(stored).back(), 16);
  EXPECT_EQ(*cache_->MergeLearnedPlaces({&late, 1}), 0U);
  EXPECT_TRUE(cache_->ExplainPlacement(Keys(stored).back().Hex())->places.empty());
}

/// Whatever comes, in whatever order: plans stay within the rules and nothing falls over.
class AnyTraffic : public TriePlacementTest, public ::testing::WithParamInterface<std::uint32_t> {
 protected:
  NamespaceSpec Spec() override {
    NamespaceSpec spec = TriePlacementTest::Spec();
    spec.grid_tokens = grid_;
    spec.checkpoint_bytes = has_states_ ? kState : 0;
    return spec;
  }
  std::uint32_t grid_ = 1;
  bool has_states_ = true;
};

TEST_P(AnyTraffic, KeepsTheRules) {
  std::mt19937 random(GetParam());
  const auto pick = [&random](std::uint32_t below) {
    return static_cast<std::uint32_t>(random() % below);
  };
  Cache::Config config = Learning();
  config.host_bytes = 2 * kMiB;
  config.index_bytes = kMiB;                                // 8,192 blocks: prefixes are forgotten,
  config.placement_bytes = GetParam() % 2 == 0 ? 0 : kMiB;  // and so are places, at 1,024.
  config.eviction = GetParam() % 5 == 4 ? "lru" : "value";
  has_states_ = GetParam() % 3 != 2;
  grid_ = std::vector<std::uint32_t>{1, 16, 48, 64}[GetParam() % 4];
  Open(config);
  const std::uint32_t grain = std::lcm(grid_, kBlock);
  std::size_t planned = 0;
  for (int step = 0; step < 1500; ++step) {
    const std::uint32_t family = pick(40);
    auto tokens = Tokens(1 + pick(400), 1'000'000 * family);
    for (std::size_t i = pick(400); i < tokens.size(); ++i) {
      tokens[i] += 500'000 + 1000 * pick(3);  // Parts from its family somewhere.
    }
    Serve(tokens);
    for (const std::uint32_t position : plan_) {
      EXPECT_EQ(position % grain, 0U);
      EXPECT_GT(position, resumed_);
      EXPECT_LE(position, tokens.size());
    }
    EXPECT_TRUE(std::is_sorted(plan_.begin(), plan_.end()));
    planned += plan_.size();
    if (pick(4) == 0 && tokens.size() >= kBlock) {
      StoreAt(tokens, ObjectKind::kCheckpoint, static_cast<std::uint32_t>(tokens.size()));
      StoreAt(tokens, ObjectKind::kKv, kBlock);
    }
    clock_.Advance(std::chrono::milliseconds(pick(20'000)));
    cache_->SweepExpired();
    if (step % 300 == 299) {
      const auto places = AllPlaces();
      ASSERT_TRUE(cache_->MergeLearnedPlaces(places).has_value());
      for (const PlaceRecord& place : places) {
        ASSERT_TRUE(cache_->ExplainPlacement(place.key.Hex()).has_value());
      }
    }
    if (step == 1000) {
      cache_->Clear();
    }
  }
  const auto summary = cache_->Placement(5);
  ASSERT_TRUE(summary.has_value());
  EXPECT_LE(summary->places, summary->most_places);
  EXPECT_EQ(planned != 0, has_states_);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyTraffic, ::testing::Range(0U, 20U));

}  // namespace
}  // namespace cairn

#include "libcache/cache/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/unit/libcache/cache/cache_fixture.h"

namespace cairn {
namespace {

using CacheTest = CacheFixture;

TEST_F(CacheTest, AnUnknownPromptIsAMissWithAPlanForItsEnd) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  const MatchResult match = MatchOf(tokens);
  EXPECT_EQ(match.state, MatchState::kMiss);
  EXPECT_EQ(match.lease, 0U);
  EXPECT_TRUE(match.boundaries.empty());
  EXPECT_EQ(match.overlap_tokens, 0U);
  EXPECT_EQ(match.plan, std::vector<std::uint32_t>{100});
}

TEST_F(CacheTest, ReturnsEveryRestorableBoundaryShallowToDeep) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, 70);
  StoreBoundary(tokens, 96);
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 3U);
  EXPECT_EQ(match.boundaries[0].position, 32U);
  EXPECT_EQ(match.boundaries[0].bytes, 32 * kKvPerToken + kState);
  EXPECT_EQ(match.boundaries[1].position, 70U);
  EXPECT_TRUE(match.boundaries[1].tail);
  EXPECT_EQ(match.boundaries[1].tail_key, KeyAt(tokens, 70));
  EXPECT_EQ(match.boundaries[2].position, 96U);
  EXPECT_EQ(match.best, 2U);
  EXPECT_EQ(match.state, MatchState::kReady);
  EXPECT_EQ(match.kv_tokens, 96U);
  EXPECT_TRUE(FetchAndCheck(tokens, match, 96));
  EXPECT_TRUE(FetchAndCheck(tokens, match, 70));
  EXPECT_TRUE(FetchAndCheck(tokens, match, 32));
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
}

TEST_F(CacheTest, NeverRestoresAtThePromptsLength) {
  Open(SmallConfig());
  const auto tokens = Tokens(96);
  StoreBoundary(tokens, 48);
  StoreBoundary(tokens, 96);
  const MatchResult same = MatchOf(tokens);
  ASSERT_EQ(same.boundaries.size(), 1U);
  EXPECT_EQ(same.boundaries[0].position, 48U);
  EXPECT_EQ(MatchOf(Tokens(97)).boundaries.back().position, 96U);
}

// KV without a checkpoint restores nothing, a checkpoint without its KV neither.
TEST_F(CacheTest, ABoundaryNeedsItsStateAndAllKv) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  static_cast<void>(MatchOf(tokens));
  ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, 16), ErrorCode::kOk);
  ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, 48), ErrorCode::kOk);
  ASSERT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, 48), ErrorCode::kOk);
  EXPECT_TRUE(MatchOf(tokens).boundaries.empty()) << "block 2 has no KV";
  ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, 32), ErrorCode::kOk);
  EXPECT_EQ(MatchOf(tokens).boundaries.size(), 1U);
  EXPECT_EQ(cache_->Stats().lost_tokens, 16U) << "one block of KV had no checkpoint at first";
}

// The second planner position: where a request left what was seen before, even after eviction.
TEST_F(CacheTest, PlansAtADivergenceThatWasOnlySeen) {
  Open(SmallConfig());
  auto first = Tokens(100);
  static_cast<void>(MatchOf(first));
  auto second = Tokens(100);
  for (std::size_t i = 50; i < second.size(); ++i) {
    second[i] += 1000;
  }
  const MatchResult match = MatchOf(second);
  EXPECT_EQ(match.overlap_tokens, 48U) << "whole blocks";
  EXPECT_EQ(match.plan, (std::vector<std::uint32_t>{48, 100}));
}

TEST_F(CacheTest, NothingIsVisibleBeforeCommitAndTwoWritersAreToldApart) {
  Open(SmallConfig());
  const auto tokens = Tokens(40);
  static_cast<void>(MatchOf(tokens));
  ReserveItem item{.kind = ObjectKind::kKv,
                   .key = KeyAt(tokens, 16),
                   .parent = seed_,
                   .position = 16,
                   .bytes = 16 * kKvPerToken};
  const SessionId other = cache_->BeginSession();
  const auto mine = cache_->Reserve(session_, 1, space_, {&item, 1});
  ASSERT_EQ((*mine)[0].code, ErrorCode::kOk);
  EXPECT_EQ((*cache_->Reserve(other, 1, space_, {&item, 1}))[0].code, ErrorCode::kInProgress);
  EXPECT_EQ(MatchOf(tokens).kv_tokens, 0U);
  const auto bytes = BytesFor(item.key, item.kind, item.bytes);
  ASSERT_TRUE(cache_->Fill(session_, (*mine)[0].token, 0, std::span(bytes).first(100)));
  EXPECT_EQ(cache_->Fill(session_, (*mine)[0].token, 200, bytes).error().code,
            ErrorCode::kInvalidArgument)
      << "stretches come in order";
  EXPECT_EQ(cache_->Fill(other, (*mine)[0].token, 100, bytes).error().code, ErrorCode::kExpired)
      << "a token belongs to its session";
  ASSERT_TRUE(cache_->Fill(session_, (*mine)[0].token, 100, std::span(bytes).subspan(100)));
  const CommitItem commit{.token = (*mine)[0].token, .digest = DigestOf(bytes)};
  EXPECT_EQ(cache_->Commit(session_, {&commit, 1}, false).codes[0], ErrorCode::kOk);
  EXPECT_EQ((*cache_->Reserve(other, 1, space_, {&item, 1}))[0].code, ErrorCode::kExists);
  EXPECT_EQ(MatchOf(tokens).kv_tokens, 16U);
  cache_->EndSession(other);
}

TEST_F(CacheTest, AWrongDigestOrAShortObjectIsNotPublished) {
  Open(SmallConfig());
  const auto tokens = Tokens(40);
  static_cast<void>(MatchOf(tokens));
  ReserveItem item{.kind = ObjectKind::kKv,
                   .key = KeyAt(tokens, 16),
                   .parent = seed_,
                   .position = 16,
                   .bytes = 16 * kKvPerToken};
  const auto bytes = BytesFor(item.key, item.kind, item.bytes);
  for (const bool whole : {true, false}) {
    const auto outcome = cache_->Reserve(session_, 1, space_, {&item, 1});
    ASSERT_EQ((*outcome)[0].code, ErrorCode::kOk);
    ASSERT_TRUE(cache_->Fill(session_, (*outcome)[0].token, 0,
                             std::span(bytes).first(whole ? bytes.size() : 10)));
    const CommitItem commit{.token = (*outcome)[0].token, .digest = {.low = 1, .high = 2}};
    EXPECT_EQ(cache_->Commit(session_, {&commit, 1}, false).codes[0],
              whole ? ErrorCode::kCorrupt : ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(MatchOf(tokens).kv_tokens, 0U);
  EXPECT_EQ(cache_->Stats().checksum_failures, 1U);
  EXPECT_EQ(cache_->Stats().arena_used_bytes, 0U);
}

TEST_F(CacheTest, LeasesEndByTimeBySessionAndByRelease) {
  auto config = SmallConfig();
  config.lease_time = std::chrono::seconds(10);
  Open(config);
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 32);
  const MatchResult a = MatchOf(tokens, false);
  const SessionId other = cache_->BeginSession();
  EXPECT_EQ(cache_->Release(other, a.lease).error().code, ErrorCode::kExpired)
      << "a lease belongs to its session";
  ASSERT_TRUE(cache_->Match(other, 9, space_, Keys(tokens), 64).has_value());
  EXPECT_EQ(cache_->Stats().leases, 2U);
  cache_->EndSession(other);
  EXPECT_EQ(cache_->Stats().leases, 1U);
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_EQ(cache_->StartFetch(session_, a.lease, 32, nullptr, 0).error().code,
            ErrorCode::kExpired);
  cache_->SweepExpired();
  EXPECT_EQ(cache_->Stats().leases, 0U);
  EXPECT_EQ(cache_->Stats().leases_expired, 1U);
}

TEST_F(CacheTest, AnAbandonedReservationFreesItself) {
  Open(SmallConfig());
  const auto tokens = Tokens(40);
  static_cast<void>(MatchOf(tokens));
  ReserveItem item{.kind = ObjectKind::kKv,
                   .key = KeyAt(tokens, 16),
                   .parent = seed_,
                   .position = 16,
                   .bytes = 16 * kKvPerToken};
  const SessionId other = cache_->BeginSession();
  ASSERT_EQ((*cache_->Reserve(other, 1, space_, {&item, 1}))[0].code, ErrorCode::kOk);
  cache_->EndSession(other);
  EXPECT_EQ(cache_->Stats().arena_used_bytes, 0U);
  ASSERT_EQ((*cache_->Reserve(session_, 1, space_, {&item, 1}))[0].code, ErrorCode::kOk);
  clock_.Advance(std::chrono::minutes(5));
  cache_->SweepExpired();
  EXPECT_EQ(cache_->Stats().reservations, 0U);
  EXPECT_EQ(cache_->Stats().arena_used_bytes, 0U);
}

TEST_F(CacheTest, RefusesWhatDoesNotFitTheNamespaceAndNamesTheField) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  EXPECT_EQ(cache_->Match(session_, 1, space_, {}, 0).error().code, ErrorCode::kInvalidArgument);
  const auto keys = Keys(tokens);
  const auto few = cache_->Match(session_, 1, space_, std::span(keys).first(2), 64);
  ASSERT_FALSE(few.has_value());
  EXPECT_NE(few.error().message.find("blocks of 16 tokens"), std::string::npos);
  static_cast<void>(MatchOf(tokens));
  ReserveItem item{.kind = ObjectKind::kKv,
                   .key = KeyAt(tokens, 16),
                   .parent = seed_,
                   .position = 16,
                   .bytes = 5};
  const auto size = cache_->Reserve(session_, 1, space_, {&item, 1});
  ASSERT_FALSE(size.has_value());
  EXPECT_NE(size.error().message.find("bytes: 5 given, but KV of 16 tokens"), std::string::npos);
  item.bytes = 16 * kKvPerToken;
  item.position = 40;
  EXPECT_EQ(cache_->Reserve(session_, 1, space_, {&item, 1}).error().code,
            ErrorCode::kInvalidArgument);
  NamespaceSpec spec = Spec();
  spec.block_tokens = 0;
  EXPECT_NE(cache_->OpenNamespace(spec).error().message.find("block_tokens"), std::string::npos);
}

TEST_F(CacheTest, DifferentSaltsShareNothing) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 48);
  NamespaceSpec salted = Spec();
  salted.salt = "other";
  const auto opened = cache_->OpenNamespace(salted);
  ASSERT_TRUE(opened.has_value());
  EXPECT_NE(opened->seed, seed_);
  const auto match =
      cache_->Match(session_, 1, opened->id, BlockKeys(opened->seed, tokens, kBlock), 64);
  EXPECT_TRUE(match->boundaries.empty());
  EXPECT_EQ(match->overlap_tokens, 0U);
}

TEST_F(CacheTest, DrainingRefusesNewWork) {
  Open(SmallConfig());
  cache_->BeginDrain();
  const auto tokens = Tokens(64);
  EXPECT_EQ(cache_->Match(session_, 1, space_, Keys(tokens), 64).error().code,
            ErrorCode::kUnavailable);
  EXPECT_EQ(StoreAt(tokens, ObjectKind::kKv, 16), ErrorCode::kUnavailable);
}

TEST_F(CacheTest, OperatorsPinEvictAndClear) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, 96);
  const std::string middle = KeyAt(tokens, 32).Hex();
  EXPECT_TRUE(cache_->Lookup(middle)->restorable);
  ASSERT_TRUE(cache_->PinPrefix(middle).has_value());
  EXPECT_EQ(cache_->PinPrefix(middle).error().code, ErrorCode::kExists);
  EXPECT_EQ(cache_->Stats().pins, 1U);
  const Cache::Evicted cleared = cache_->Clear();
  EXPECT_EQ(cleared.objects, 4U + 1U) << "four blocks and a checkpoint behind the pin";
  EXPECT_EQ(MatchOf(tokens).boundaries.size(), 1U);
  ASSERT_TRUE(cache_->UnpinPrefix(middle).has_value());
  EXPECT_EQ(cache_->EvictPrefix(middle.substr(0, 12), {})->objects, 2U);
  EXPECT_TRUE(MatchOf(tokens).boundaries.empty());
  EXPECT_EQ(cache_->Lookup("zz").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(CacheTest, OneKindCanBeEvictedAlone) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, 96);
  const std::string deep = KeyAt(tokens, 96).Hex();
  EXPECT_EQ(cache_->EvictPrefix(deep, {.only = ObjectKind::kCheckpoint})->objects, 1U);
  ASSERT_EQ(MatchOf(tokens).boundaries.size(), 1U) << "its KV is of no use without the state";
  EXPECT_EQ(MatchOf(tokens).boundaries[0].position, 32U);
  StoreBoundary(tokens, 96);
  EXPECT_EQ(MatchOf(tokens).boundaries.size(), 2U);
  EXPECT_EQ(cache_->EvictPrefix(deep, {.only = ObjectKind::kKv})->objects, 1U);
  EXPECT_EQ(MatchOf(tokens).boundaries.size(), 1U) << "a state without its KV must not be offered";
}

TEST_F(CacheTest, StatesDoNotHoldKvThatIsEvictedAlone) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, 96);
  const std::string deep = KeyAt(tokens, 96).Hex();
  const std::string middle = KeyAt(tokens, 32).Hex();
  ASSERT_TRUE(cache_->PinPrefix(deep).has_value());
  EXPECT_EQ(cache_->EvictPrefix(middle, {.only = ObjectKind::kKv})->objects, 0U);
  ASSERT_TRUE(cache_->UnpinPrefix(deep).has_value());
  EXPECT_EQ(cache_->EvictPrefix(middle, {.only = ObjectKind::kKv})->objects, 5U);
  EXPECT_TRUE(MatchOf(tokens).boundaries.empty());
}

// A prefix that fits a node and nodes below it shows each once.
TEST_F(CacheTest, TreeShowsEveryNodeOnce) {
  Open(SmallConfig());
  StoreBoundary(Tokens(640), 640);
  for (const char digit : std::string("0123456789abcdef")) {
    std::set<std::string> keys;
    const auto views = cache_->Tree(std::string(1, digit), 1000);
    for (const NodeView& view : views) {
      EXPECT_TRUE(keys.insert(view.key.Hex()).second) << view.key.Hex();
    }
  }
  const std::string key = KeyAt(Tokens(640), 320).Hex();
  EXPECT_EQ(cache_->Tree(key.substr(0, 31), 1000).size(), 21U) << "20 blocks on, and itself";
  EXPECT_TRUE(cache_->Tree("xyz", 1000).empty());
}

TEST_F(CacheTest, ACorruptReportDropsTheObject) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 32);
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_TRUE(FetchAndCheck(tokens, match, 32));
  ASSERT_TRUE(cache_->ReportCorrupt(session_, match.lease, 2).has_value());
  EXPECT_EQ(cache_->BeginRead(session_, match.lease, 2).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
  EXPECT_TRUE(MatchOf(tokens).boundaries.empty());
  EXPECT_EQ(cache_->Stats().checksum_failures, 1U);
}

// A reader's bytes stay while it reads, whatever becomes of its lease and its session.
TEST_F(CacheTest, WhatIsBeingReadStaysInPlace) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 32);
  const SessionId reader = cache_->BeginSession();
  const auto match = cache_->Match(reader, 1, space_, Keys(tokens), 64, {.want_objects = 16});
  ASSERT_TRUE(match.has_value());
  ASSERT_EQ(match->objects.size(), 3U);
  {
    auto reading = cache_->BeginRead(reader, match->lease, 2);
    ASSERT_TRUE(reading.has_value()) << ToString(reading.error());
    cache_->EndSession(reader);
    cache_->Clear();
    for (std::uint32_t i = 1; i < 2000; ++i) {  // More than the arena holds.
      StoreBoundary(Tokens(32, i * 1000), 32);
    }
    const auto expected = BytesFor(KeyAt(tokens, 32), ObjectKind::kCheckpoint, kState);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), reading->bytes().begin()));
    EXPECT_EQ(DigestOf(reading->bytes()), match->objects[2].digest);
  }
  for (std::uint32_t i = 3000; i < 5000; ++i) {
    StoreBoundary(Tokens(32, i * 1000), 32);
  }
  EXPECT_TRUE(MatchOf(tokens).boundaries.empty()) << "evicted once nobody reads it";
}

TEST_F(CacheTest, ACorruptObjectThatIsBeingReadIsServedToNobodyElse) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 32);
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_TRUE(FetchAndCheck(tokens, match, 32));
  {
    const auto reading = cache_->BeginRead(session_, match.lease, 2);
    ASSERT_TRUE(reading.has_value());
    ASSERT_TRUE(cache_->ReportCorrupt(session_, match.lease, 2).has_value());
    EXPECT_TRUE(MatchOf(tokens).boundaries.empty());
    EXPECT_FALSE(cache_->BeginRead(session_, match.lease, 2).has_value());
  }
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
  EXPECT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, 32), ErrorCode::kOk) << "room for a good one";
}

TEST_F(CacheTest, ObjectsComeWithMatchAndCountOnceUsed) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 96);
  const auto keys = Keys(tokens);
  const auto few = cache_->Match(session_, 1, space_, keys, 100, {.want_objects = 6});
  ASSERT_TRUE(few.has_value());
  EXPECT_TRUE(few->objects.empty()) << "six blocks and a checkpoint are seven";
  ASSERT_TRUE(cache_->Release(session_, few->lease, true).has_value());
  EXPECT_EQ(cache_->Stats().fetches, 0U) << "nothing was handed out";
  const auto match = cache_->Match(session_, 1, space_, keys, 100, {.want_objects = 7});
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->objects.size(), 7U);
  ASSERT_TRUE(cache_->Release(session_, match->lease, false).has_value());
  EXPECT_EQ(cache_->Stats().hit_tokens[1], 0U);
  const auto used = cache_->Match(session_, 1, space_, keys, 100, {.want_objects = 7});
  ASSERT_TRUE(used.has_value());
  ASSERT_TRUE(cache_->Release(session_, used->lease, true).has_value());
  EXPECT_EQ(cache_->Stats().hit_tokens[1], 96U);
  EXPECT_EQ(cache_->Stats().fetches, 1U);
}

// Match proposes what is cheapest; the caller may load any boundary it was shown.
TEST_F(CacheTest, EveryBoundaryOfAMatchCanBeLoaded) {
  Open(SmallConfig());
  const auto tokens = Tokens(200);
  for (const std::uint32_t position : {48U, 96U, 144U, 150U}) {
    StoreBoundary(tokens, position);
  }
  // An engine that recomputes for next to nothing: the shallowest is the best.
  ASSERT_TRUE(cache_->Observe(space_, {.gap_tokens = 1'000'000, .recompute_us = 1}).has_value());
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 4U);
  EXPECT_LT(match.boundaries[match.best].position, 144U);
  for (const std::uint32_t position : {48U, 96U, 144U, 150U}) {
    EXPECT_TRUE(FetchAndCheck(tokens, match, position)) << position;
  }
  EXPECT_EQ(cache_->StartFetch(session_, match.lease, 0, nullptr, 0).error().code,
            ErrorCode::kNotFound);
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
}

TEST_F(CacheTest, AMatchCountsWhereItIsServed) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 64);
  const CacheStats before = cache_->Stats();
  const MatchWish compare{.purpose = MatchPurpose::kCompare};
  const auto ask = [&] {
    const auto match = cache_->Match(session_, 1, space_, Keys(tokens), 100, compare);
    EXPECT_TRUE(match.has_value() && match->lease != 0);
    return match->lease;
  };
  cache_->Decline(session_, ask());
  EXPECT_EQ(cache_->Stats().matches, before.matches);
  EXPECT_EQ(cache_->Stats().prompt_tokens, before.prompt_tokens);
  EXPECT_EQ(cache_->Stats().matches_elsewhere, before.matches_elsewhere + 1);
  EXPECT_EQ(cache_->Stats().leases, 0U);
  // Loaded: it counts, and once.
  const LeaseId lease = ask();
  ASSERT_TRUE(cache_->StartFetch(session_, lease, 64, nullptr, 0).has_value());
  EXPECT_EQ(cache_->Stats().matches, before.matches + 1);
  EXPECT_EQ(cache_->Stats().match_hits, before.match_hits + 1);
  ASSERT_TRUE(cache_->Release(session_, lease, true).has_value());
  EXPECT_EQ(cache_->Stats().matches, before.matches + 1);
  // Neither declined nor loaded: it counts with the next one, in time, or with the session's end.
  ask();
  EXPECT_EQ(cache_->Stats().matches, before.matches + 1);
  ask();
  EXPECT_EQ(cache_->Stats().matches, before.matches + 2);
  const SessionId other = cache_->BeginSession();
  ASSERT_TRUE(cache_->Match(other, 1, space_, Keys(tokens), 100, compare).has_value());
  cache_->EndSession(other);
  EXPECT_EQ(cache_->Stats().matches, before.matches + 3);
  EXPECT_EQ(cache_->Stats().matches_elsewhere, before.matches_elsewhere + 1);
}

TEST_F(CacheTest, WhatIsOverheardIsKnownAndNoMore) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 64);
  const auto longer = Tokens(200);
  const CacheStats before = cache_->Stats();
  const auto told =
      cache_->Match(session_, 1, space_, Keys(longer), 200, {.purpose = MatchPurpose::kOverhear});
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->lease, 0U);
  EXPECT_TRUE(told->boundaries.empty());
  EXPECT_TRUE(told->plan.empty());
  EXPECT_GT(told->load_permille, 0U);
  EXPECT_EQ(cache_->Stats().matches, before.matches);
  EXPECT_EQ(cache_->Stats().matches_elsewhere, before.matches_elsewhere + 1);
  EXPECT_EQ(cache_->Stats().leases, 0U);
  EXPECT_EQ(MatchOf(longer).overlap_tokens, 200 / kBlock * kBlock) << "it was seen";
}

TEST_F(CacheTest, TheGridIsThatOfTheCaller) {
  Open(SmallConfig());
  const auto tokens = Tokens(100);
  const auto keys = Keys(tokens);
  EXPECT_EQ(cache_->Match(session_, 1, space_, keys, 100, {.grid_tokens = 64})->plan,
            std::vector<std::uint32_t>{64});
  const auto others = Keys(Tokens(100, 5000));
  EXPECT_EQ(cache_->Match(session_, 1, space_, others, 100, {.grid_tokens = 1})->plan,
            std::vector<std::uint32_t>{100});
}

// Seeds can be computed by anybody; using one as a key must cost nobody but oneself.
TEST_F(CacheTest, ASeedThatIsUsedAsAKeyIsNoCrash) {
  Open(SmallConfig());
  NamespaceSpec victim = Spec();
  victim.salt = "victim";
  const PrefixKey seed = NamespaceSeed({}, victim);
  ASSERT_TRUE(cache_->Match(session_, 1, space_, {&seed, 1}, kBlock).has_value());
  const auto refused = cache_->OpenNamespace(victim);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

TEST_F(CacheTest, NamesAreBounded) {
  Open(SmallConfig());
  NamespaceSpec spec = Spec();
  spec.layout = std::string(513, 'x');
  const auto refused = cache_->OpenNamespace(spec);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("layout"), std::string::npos) << refused.error().message;
}

TEST_F(CacheTest, AsManyLeasesOnOnePrefixAsCanBeCounted) {
  Cache::Config config = SmallConfig();
  config.max_leases_per_session = 100'000;
  Open(config);
  const auto tokens = Tokens(64);
  StoreBoundary(tokens, 32);
  const SessionId crowd = cache_->BeginSession();
  const auto keys = Keys(tokens);
  std::uint32_t granted = 0;
  for (; granted < 70'000; ++granted) {
    const auto match = cache_->Match(crowd, granted, space_, keys, 64);
    if (!match) {
      EXPECT_EQ(match.error().code, ErrorCode::kOverloaded);
      break;
    }
  }
  EXPECT_EQ(granted, 65'535U);
  cache_->EndSession(crowd);
  EXPECT_EQ(MatchOf(tokens).boundaries.size(), 1U);
}

/// A model without recurrent layers: every block is a boundary.
class AttentionCacheTest : public CacheFixture {
 protected:
  NamespaceSpec Spec() override {
    NamespaceSpec spec = CacheFixture::Spec();
    spec.checkpoint_bytes = 0;
    return spec;
  }
};

TEST_F(AttentionCacheTest, EveryBlockWithItsKvIsABoundary) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  EXPECT_TRUE(MatchOf(tokens).plan.empty()) << "there are no checkpoints to plan";
  for (const std::uint32_t at : {16U, 32U, 48U, 64U}) {
    ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, at), ErrorCode::kOk);
  }
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 3U) << "64 is the prompt's length";
  EXPECT_TRUE(FetchAndCheck(tokens, match, 48));
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
}

/// A purely recurrent model: no KV at all.
class RecurrentCacheTest : public CacheFixture {
 protected:
  NamespaceSpec Spec() override {
    NamespaceSpec spec = CacheFixture::Spec();
    spec.kv_bytes_per_token = 0;
    return spec;
  }
};

TEST_F(RecurrentCacheTest, AStateAloneIsABoundary) {
  Open(SmallConfig());
  const auto tokens = Tokens(64);
  static_cast<void>(MatchOf(tokens));
  ASSERT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, 48), ErrorCode::kOk);
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 1U);
  EXPECT_EQ(match.boundaries[0].bytes, kState);
  EXPECT_TRUE(FetchAndCheck(tokens, match, 48));
  EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
}

}  // namespace
}  // namespace cairn

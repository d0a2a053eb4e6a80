#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "libcache/cache/cache.h"
#include "libcache/model/prefix_key.h"

namespace cairn {

/// A cache of a small hybrid model: blocks of 16 tokens, 64 bytes of KV a token, 4 KiB of state.
class CacheFixture : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kBlock = 16;
  static constexpr std::uint64_t kKvPerToken = 64;
  static constexpr std::uint64_t kState = 4096;

  void Open(Cache::Config config, std::unique_ptr<ColdTier> cold = nullptr, Cache::Gpu gpu = {}) {
    config.clock = &clock_;
    auto cache = Cache::Open(config, std::move(cold), std::move(gpu));
    ASSERT_TRUE(cache.has_value()) << ToString(cache.error());
    cache_ = std::move(*cache);
    session_ = cache_->BeginSession();
    const auto opened = cache_->OpenNamespace(Spec());
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    space_ = opened->id;
    seed_ = opened->seed;
  }

  static Cache::Config SmallConfig() {
    Cache::Config config;
    config.host_bytes = 4 * kMiB;
    return config;
  }

  virtual NamespaceSpec Spec() {
    NamespaceSpec spec;
    spec.model = "test";
    spec.block_tokens = kBlock;
    spec.kv_bytes_per_token = kKvPerToken;
    spec.checkpoint_bytes = kState;
    spec.grid_tokens = 1;
    return spec;
  }

  void TearDown() override {
    if (cache_ != nullptr) {
      cache_->EndSession(session_);
      const CacheStats stats = cache_->Stats();
      EXPECT_EQ(stats.leases, 0U);
      EXPECT_EQ(stats.reservations, 0U);
      EXPECT_EQ(stats.pins, 0U);
    }
  }

  static std::vector<std::uint32_t> Tokens(std::uint32_t count, std::uint32_t first = 0) {
    std::vector<std::uint32_t> tokens(count);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }

  [[nodiscard]] std::vector<PrefixKey> Keys(std::span<const std::uint32_t> tokens) const {
    return BlockKeys(seed_, tokens, kBlock);
  }

  [[nodiscard]] PrefixKey KeyAt(std::span<const std::uint32_t> tokens,
                                std::uint32_t position) const {
    const auto keys = Keys(tokens.first(position));
    const PrefixKey& floor = keys.empty() ? seed_ : keys.back();
    return TailKey(floor, tokens.first(position).subspan(keys.size() * kBlock));
  }

  static std::vector<std::byte> BytesFor(const PrefixKey& key, ObjectKind kind,
                                         std::uint64_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] = key.bytes[i % key.bytes.size()] ^ static_cast<std::byte>(i / 32) ^
                 static_cast<std::byte>(kind == ObjectKind::kKv ? 0 : 0x80);
    }
    return bytes;
  }

  /// Stores one object of `tokens` at `position`; the outcome of the first step that failed.
  ErrorCode StoreAt(std::span<const std::uint32_t> tokens, ObjectKind kind, std::uint32_t position,
                    bool durable = false) {
    const std::uint32_t start = (position - 1) / kBlock * kBlock;
    ReserveItem item;
    item.kind = kind;
    item.key = KeyAt(tokens, position);
    item.parent = KeyAt(tokens, start);
    item.position = position;
    item.bytes = kind == ObjectKind::kKv ? (position - start) * kKvPerToken : kState;
    const auto outcomes = cache_->Reserve(session_, 1, space_, {&item, 1});
    if (!outcomes) {
      return outcomes.error().code;
    }
    if ((*outcomes)[0].code != ErrorCode::kOk) {
      return (*outcomes)[0].code;
    }
    const auto bytes = BytesFor(item.key, kind, item.bytes);
    if (const Status filled = cache_->Fill(session_, (*outcomes)[0].token, 0, bytes); !filled) {
      return filled.error().code;
    }
    const CommitItem commit{.token = (*outcomes)[0].token, .digest = DigestOf(bytes)};
    const auto result = cache_->Commit(session_, {&commit, 1}, durable);
    if (result.durable != nullptr) {
      EXPECT_TRUE(result.durable->Wait(SteadyClock::Instance().Now() + std::chrono::seconds(20)));
      if (result.durable->error() != ErrorCode::kOk) {
        return result.durable->error();
      }
    }
    return result.codes[0];
  }

  /// Stores KV up to `position` and the checkpoint there.
  void StoreBoundary(std::span<const std::uint32_t> tokens, std::uint32_t position,
                     bool durable = false) {
    const auto match =
        cache_->Match(session_, 1, space_, Keys(tokens), static_cast<std::uint32_t>(tokens.size()));
    ASSERT_TRUE(match.has_value()) << ToString(match.error());
    if (match->lease != 0) {
      ASSERT_TRUE(cache_->Release(session_, match->lease).has_value());
    }
    for (std::uint32_t at = kBlock; at <= position; at += kBlock) {
      const ErrorCode code = StoreAt(tokens, ObjectKind::kKv, at);
      ASSERT_TRUE(code == ErrorCode::kOk || code == ErrorCode::kExists) << ErrorName(code);
    }
    if (position % kBlock != 0) {
      ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, position), ErrorCode::kOk);
    }
    ASSERT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, position, durable), ErrorCode::kOk);
  }

  MatchResult MatchOf(std::span<const std::uint32_t> tokens, bool release = true) {
    auto match =
        cache_->Match(session_, 2, space_, Keys(tokens), static_cast<std::uint32_t>(tokens.size()));
    EXPECT_TRUE(match.has_value());
    if (release && match->lease != 0) {
      EXPECT_TRUE(cache_->Release(session_, match->lease).has_value());
    }
    return std::move(*match);
  }

  /// Fetches the boundary at `position` and checks every byte. False on a miss.
  bool FetchAndCheck(std::span<const std::uint32_t> tokens, const MatchResult& match,
                     std::uint32_t position) {
    const PrefixKey tail = KeyAt(tokens, position);
    const auto pending = cache_->StartFetch(session_, match.lease, position,
                                            position % kBlock == 0 ? nullptr : &tail, 0);
    if (!pending) {
      return false;
    }
    EXPECT_TRUE((*pending)->Wait(SteadyClock::Instance().Now() + std::chrono::seconds(20)));
    if ((*pending)->error() != ErrorCode::kOk) {
      return false;
    }
    const auto views = cache_->FinishFetch(session_, match.lease);
    if (!views) {
      return false;
    }
    for (const ObjectView& view : *views) {
      const auto payload = cache_->arena().Payload(view.arena_offset).first(view.bytes);
      const auto want = BytesFor(KeyAt(tokens, view.position), view.kind, view.bytes);
      EXPECT_TRUE(std::equal(payload.begin(), payload.end(), want.begin(), want.end()))
          << "wrong bytes at position " << view.position;
      EXPECT_EQ(DigestOf(payload), view.digest);
    }
    return true;
  }

  ManualClock clock_;
  std::unique_ptr<Cache> cache_;
  SessionId session_ = 0;
  NamespaceId space_ = 0;
  PrefixKey seed_;
};

}  // namespace cairn

// A client over a cache in this process, as an engine uses it: what it finds, what it must not
// find, and what it leaves behind (nothing).
#include "libcache/connector/client.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <numeric>
#include <thread>

namespace cairn {
namespace {

constexpr std::uint32_t kBlock = 16;
constexpr std::uint64_t kKvPerToken = 32;
constexpr std::uint64_t kState = 2048;

using Tokens = std::vector<std::uint32_t>;

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override { Open("turn_end_demand"); }

  void Open(const std::string& planner) {
    Cache::Config config;
    config.host_bytes = 4 * kMiB;
    config.huge_pages = false;
    config.planner = planner;
    config.clock = &clock_;
    auto cache = Cache::Open(config, nullptr);
    ASSERT_TRUE(cache.has_value()) << ToString(cache.error());
    cache_ = std::move(*cache);
    client_ = NewClient();
    space_ = OpenSpace(*client_, Spec());
  }

  void TearDown() override {
    client_.reset();
    const CacheStats stats = cache_->Stats();
    EXPECT_EQ(stats.leases, 0U);
    EXPECT_EQ(stats.reservations, 0U);
    EXPECT_EQ(stats.pins, 0U);
    EXPECT_EQ(stats.sessions, 0U);
    EXPECT_EQ(stats.checksum_failures, 0U);
  }

  [[nodiscard]] std::unique_ptr<Client> NewClient() const {
    ClientOptions options;
    options.cache = cache_;
    return std::make_unique<Client>(options);
  }

  static NamespaceSpec Spec() {
    NamespaceSpec spec;
    spec.model = "test";
    spec.block_tokens = kBlock;
    spec.grid_tokens = 1;
    spec.kv_bytes_per_token = kKvPerToken;
    spec.checkpoint_bytes = kState;
    return spec;
  }

  static Client::Handle OpenSpace(Client& client, const NamespaceSpec& spec) {
    const auto handle = client.OpenNamespace(spec, Soon());
    EXPECT_TRUE(handle.has_value()) << ToString(handle.error());
    return handle.value_or(0);
  }

  static TimePoint Soon() { return In(std::chrono::seconds(10)); }

  static Tokens Count(std::uint32_t count, std::uint32_t first = 1) {
    Tokens tokens(count);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }

  Client::Prompt Prompt(const Tokens& tokens) { return PromptIn(space_, tokens); }
  Client::Prompt PromptIn(Client::Handle space, const Tokens& tokens) {
    kept_.push_back(tokens);  // A prompt only points to its tokens.
    const auto prompt = client_->MakePrompt(space, ++request_, kept_.back());
    EXPECT_TRUE(prompt.has_value()) << ToString(prompt.error());
    return prompt.value_or(Client::Prompt{});
  }

  /// Bytes that only this object has.
  static std::vector<std::byte> BytesOf(ObjectKind kind, std::uint32_t position,
                                        std::uint64_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i * 7 + position * 13 + static_cast<std::size_t>(kind));
    }
    return bytes;
  }

  /// Stores KV up to `kv_end` and checkpoints at `states`.
  Client::Stored Store(const Client::Prompt& prompt, std::uint32_t kv_end,
                       const std::vector<std::uint32_t>& states) {
    std::vector<std::vector<std::byte>> memory;
    std::vector<Client::StoreItem> items;
    const auto add = [&](ObjectKind kind, std::uint32_t position, std::uint64_t size) {
      memory.push_back(BytesOf(kind, position, size));
      items.push_back({.kind = kind, .position = position, .bytes = memory.back()});
    };
    for (std::uint32_t start = 0; start < kv_end; start += kBlock) {
      const std::uint32_t end = std::min(start + kBlock, kv_end);
      add(ObjectKind::kKv, end, (end - start) * kKvPerToken);
    }
    for (const std::uint32_t position : states) {
      add(ObjectKind::kCheckpoint, position, kState);
    }
    const auto stored = client_->Store(prompt, items, false, Soon());
    EXPECT_TRUE(stored.has_value()) << ToString(stored.error());
    return stored.value_or(Client::Stored{});
  }

  Client::Hit Match(const Client::Prompt& prompt) {
    const auto hit = client_->Match(prompt, Soon());
    EXPECT_TRUE(hit.has_value()) << ToString(hit.error());
    return hit.value_or(Client::Hit{});
  }

  void Release(const Client::Hit& hit) {
    const Status released = client_->Release(hit, Soon());
    EXPECT_TRUE(released.has_value()) << ToString(released.error());
  }

  /// Where a match resumes; its lease is given back.
  std::uint32_t ResumesAt(const Client::Prompt& prompt) {
    const Client::Hit hit = Match(prompt);
    Release(hit);
    return hit.resume_at;
  }

  struct Piece {
    ObjectKind kind;
    std::uint32_t position;
    std::uint32_t tokens;
    bool operator==(const Piece&) const = default;
  };
  /// Loads and compares every byte.
  std::vector<Piece> Load(const Client::Hit& hit, std::uint32_t from_position) {
    std::vector<Piece> pieces;
    std::vector<std::vector<std::byte>> memory;
    const auto loaded = client_->Load(
        hit, from_position,
        [&](const ObjectView& object) {
          pieces.push_back({object.kind, object.position, object.tokens});
          return std::span<std::byte>(memory.emplace_back(object.bytes));
        },
        Soon());
    EXPECT_TRUE(loaded.has_value()) << ToString(loaded.error());
    for (std::size_t i = 0; loaded && i < pieces.size(); ++i) {
      EXPECT_EQ(memory[i], BytesOf(pieces[i].kind, pieces[i].position, memory[i].size()))
          << "object " << i;
    }
    return pieces;
  }

  ManualClock clock_;
  std::shared_ptr<Cache> cache_;
  std::unique_ptr<Client> client_;
  Client::Handle space_ = 0;
  std::uint64_t request_ = 0;
  std::deque<Tokens> kept_;
};

TEST_F(ClientTest, MakesTheKeysOfTheFormat) {
  const Tokens tokens = Count(2 * kBlock + 3);
  const auto prompt = Prompt(tokens);
  const auto seed = client_->Seed(space_);
  ASSERT_TRUE(seed.has_value());
  const auto keys = BlockKeys(*seed, tokens, kBlock);
  EXPECT_EQ(prompt.keys, keys);
  EXPECT_EQ(*client_->KeyAt(prompt, 0), *seed);
  EXPECT_EQ(*client_->KeyAt(prompt, kBlock), keys[0]);
  EXPECT_EQ(*client_->KeyAt(prompt, 5), TailKey(*seed, std::span(tokens).first(5)));
  EXPECT_EQ(*client_->KeyAt(prompt, 2 * kBlock + 3),
            TailKey(keys[1], std::span(tokens).subspan(2 * kBlock)));
  const auto beyond = client_->KeyAt(prompt, 2 * kBlock + 4);
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ClientTest, NamespacesShareKeysOnlyIfAllFieldsAgree) {
  const Tokens tokens = Count(kBlock);
  NamespaceSpec salted = Spec();
  salted.salt = "another user";
  const auto again = OpenSpace(*client_, Spec());
  const auto other = OpenSpace(*client_, salted);
  EXPECT_EQ(PromptIn(again, tokens).keys, Prompt(tokens).keys);
  EXPECT_NE(PromptIn(other, tokens).keys, Prompt(tokens).keys);
  Store(Prompt(tokens), kBlock, {kBlock});
  const Tokens longer = Count(kBlock + 1);
  EXPECT_EQ(ResumesAt(PromptIn(again, longer)), kBlock);
  EXPECT_EQ(ResumesAt(PromptIn(other, longer)), 0U);
}

TEST_F(ClientTest, ResumesFromWhatWasStoredAndLoadsItsBytes) {
  const auto prompt = Prompt(Count(3 * kBlock));
  const Client::Hit miss = Match(prompt);
  EXPECT_EQ(miss.resume_at, 0U);
  EXPECT_EQ(miss.lease, 0U);
  EXPECT_EQ(miss.plan, std::vector<std::uint32_t>{3 * kBlock});
  const auto stored = Store(prompt, 2 * kBlock, {2 * kBlock});
  EXPECT_EQ(stored.written, 3U);
  EXPECT_EQ(stored.bytes, 2 * kBlock * kKvPerToken + kState);
  const Client::Hit hit = Match(prompt);
  EXPECT_EQ(hit.resume_at, 2 * kBlock);
  EXPECT_EQ(hit.tier, TierKind::kHost);
  EXPECT_EQ(hit.bytes, 2 * kBlock * kKvPerToken + kState);
  EXPECT_EQ(hit.overlap_tokens, 3 * kBlock);
  const std::vector<Piece> all = {{ObjectKind::kKv, kBlock, kBlock},
                                  {ObjectKind::kKv, 2 * kBlock, kBlock},
                                  {ObjectKind::kCheckpoint, 2 * kBlock, 0}};
  EXPECT_EQ(Load(hit, 0), all);
  Release(hit);
}

TEST_F(ClientTest, LeavesOutTheKvThatTheEngineHas) {
  const Tokens tokens = Count(3 * kBlock + 4);
  Store(Prompt(tokens), 3 * kBlock + 4, {3 * kBlock + 4});
  const Tokens longer = Count(4 * kBlock);
  const Client::Hit hit = Match(Prompt(longer));
  ASSERT_EQ(hit.resume_at, 3 * kBlock + 4);
  const Piece third = {ObjectKind::kKv, 3 * kBlock, kBlock};
  const Piece tail = {ObjectKind::kKv, 3 * kBlock + 4, 4};
  const Piece state = {ObjectKind::kCheckpoint, 3 * kBlock + 4, 0};
  EXPECT_EQ(Load(hit, 2 * kBlock), (std::vector<Piece>{third, tail, state}));
  EXPECT_EQ(Load(hit, 2 * kBlock + 1), (std::vector<Piece>{third, tail, state}))
      << "a block that the engine has only in part comes whole";
  EXPECT_EQ(Load(hit, 3 * kBlock), (std::vector<Piece>{tail, state}));
  EXPECT_EQ(Load(hit, 3 * kBlock + 4), (std::vector<Piece>{state}));
  Release(hit);
}

TEST_F(ClientTest, FindsAStateInsideABlockOnlyByTheSameTokens) {
  Tokens tokens = Count(2 * kBlock + 5);
  Store(Prompt(tokens), 2 * kBlock + 5, {kBlock, 2 * kBlock + 5});
  tokens.push_back(77);
  EXPECT_EQ(ResumesAt(Prompt(tokens)), 2 * kBlock + 5) << "a longer prompt with these tokens";
  Tokens other = tokens;
  other[2 * kBlock + 4] = 9999;
  EXPECT_EQ(ResumesAt(Prompt(other)), kBlock) << "differs in the last token of the tail";
  tokens.resize(2 * kBlock + 3);
  EXPECT_EQ(ResumesAt(Prompt(tokens)), kBlock) << "ends before the tail does";
}

TEST_F(ClientTest, HoldsNoLeaseWhenOnlyTailsOfOthersAreThere) {
  Store(Prompt(Count(5)), 5, {5});
  const Client::Hit hit = Match(Prompt(Count(9, 500)));
  EXPECT_EQ(hit.resume_at, 0U);
  EXPECT_EQ(hit.lease, 0U);
  EXPECT_TRUE(hit.boundaries.empty());
  EXPECT_EQ(cache_->Stats().leases, 0U);
}

TEST_F(ClientTest, NeverResumesAtFullLength) {
  const auto prompt = Prompt(Count(3 * kBlock));
  Store(prompt, 3 * kBlock, {kBlock, 2 * kBlock, 3 * kBlock});
  EXPECT_EQ(ResumesAt(prompt), 2 * kBlock);
  const Tokens inside = Count(kBlock + 3);
  Store(Prompt(inside), kBlock + 3, {kBlock + 3});
  EXPECT_EQ(ResumesAt(Prompt(inside)), kBlock);
  EXPECT_EQ(ResumesAt(Prompt(Count(1))), 0U);
}

TEST_F(ClientTest, NeedsKvAndStateOfABoundary) {
  const auto prompt = Prompt(Count(4 * kBlock));
  Store(prompt, 2 * kBlock, {kBlock, 3 * kBlock});
  EXPECT_EQ(ResumesAt(prompt), kBlock) << "KV without state at 2, state without KV at 3";
}

TEST_F(ClientTest, PlansOnlyBeyondWhereItResumes) {
  client_.reset();
  Open("dense");
  const Tokens tokens = Count(3 * kBlock + 5);
  EXPECT_EQ(Match(Prompt(tokens)).plan,
            (std::vector<std::uint32_t>{kBlock, 2 * kBlock, 3 * kBlock}));
  Store(Prompt(tokens), 2 * kBlock + 5, {kBlock, 2 * kBlock + 5});
  // The cache cannot know that the tail at 2 blocks + 5 is this prompt's; the client does.
  const Client::Hit hit = Match(Prompt(tokens));
  EXPECT_EQ(hit.resume_at, 2 * kBlock + 5);
  EXPECT_EQ(hit.plan, std::vector<std::uint32_t>{3 * kBlock});
  Release(hit);
}

TEST_F(ClientTest, LoadsAnotherBoundaryOfTheSameHit) {
  const auto prompt = Prompt(Count(3 * kBlock + 1));
  Store(prompt, 3 * kBlock, {kBlock, 3 * kBlock});
  const Client::Hit hit = Match(prompt);
  ASSERT_EQ(hit.boundaries.size(), 2U);
  const Client::Hit shallow = Client::At(hit, hit.boundaries.front());
  const std::vector<Piece> pieces = {{ObjectKind::kKv, kBlock, kBlock},
                                     {ObjectKind::kCheckpoint, kBlock, 0}};
  EXPECT_EQ(Load(shallow, 0), pieces);
  Release(hit);
}

TEST_F(ClientTest, StoringTwiceFindsItPresent) {
  const auto prompt = Prompt(Count(kBlock));
  EXPECT_EQ(Store(prompt, kBlock, {kBlock}).written, 2U);
  const auto again = Store(prompt, kBlock, {kBlock});
  EXPECT_EQ(again.written, 0U);
  EXPECT_EQ(again.present, 2U);
  EXPECT_EQ(again.codes, std::vector<ErrorCode>(2, ErrorCode::kExists));
  EXPECT_EQ(again.bytes, 0U);
}

TEST_F(ClientTest, RefusesWhatHasTheWrongSizeOrPlace) {
  const auto prompt = Prompt(Count(2 * kBlock));
  const std::vector<std::byte> bytes(kState + 1);
  const auto error_of = [&](ObjectKind kind, std::uint32_t position, std::size_t size) {
    const Client::StoreItem item{
        .kind = kind, .position = position, .bytes = std::span(bytes).first(size)};
    const auto stored = client_->Store(prompt, std::span(&item, 1), false, Soon());
    return stored ? Error{ErrorCode::kOk, ""} : stored.error();
  };
  const auto expect = [](const Error& error, const std::string& field) {
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message.find(field), std::string::npos) << error.message;
  };
  expect(error_of(ObjectKind::kCheckpoint, kBlock, kState + 1), "bytes: 2049");
  expect(error_of(ObjectKind::kCheckpoint, kBlock, 0), "bytes: 0");
  expect(error_of(ObjectKind::kKv, kBlock, kBlock * kKvPerToken - 1), "bytes: 511");
  expect(error_of(ObjectKind::kKv, 4, kBlock * kKvPerToken), "bytes: 512");
  expect(error_of(ObjectKind::kKv, 0, kKvPerToken), "position");
  expect(error_of(ObjectKind::kCheckpoint, 2 * kBlock + 1, kState), "position");
  EXPECT_EQ(cache_->Stats().commits, 0U);
}

TEST_F(ClientTest, TellsOfAPrefixThatNobodyKnows) {
  const auto prompt = Prompt(Count(3 * kBlock));
  const std::vector<std::byte> bytes(kState);
  const Client::StoreItem item{
      .kind = ObjectKind::kCheckpoint, .position = 3 * kBlock, .bytes = bytes};
  const auto stored = client_->Store(prompt, std::span(&item, 1), false, Soon());
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->codes, std::vector<ErrorCode>{ErrorCode::kNotFound});
  EXPECT_EQ(stored->refused, 1U);
}

TEST_F(ClientTest, DurableNeedsAnSsd) {
  const auto prompt = Prompt(Count(kBlock));
  const std::vector<std::byte> bytes(kState);
  const Client::StoreItem item{.kind = ObjectKind::kCheckpoint, .position = kBlock, .bytes = bytes};
  const auto stored = client_->Store(prompt, std::span(&item, 1), true, Soon());
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->codes, std::vector<ErrorCode>{ErrorCode::kOverloaded});
}

TEST_F(ClientTest, ServesAttentionOnlyModels) {
  NamespaceSpec spec = Spec();
  spec.checkpoint_bytes = 0;
  const auto space = OpenSpace(*client_, spec);
  const auto prompt = PromptIn(space, Count(3 * kBlock + 1));
  EXPECT_TRUE(Match(prompt).plan.empty());
  Store(prompt, 3 * kBlock, {});
  const Client::Hit hit = Match(prompt);
  EXPECT_EQ(hit.resume_at, 3 * kBlock);
  EXPECT_EQ(Load(hit, 0).size(), 3U);
  Release(hit);
  const std::vector<std::byte> bytes(kState);
  const Client::StoreItem item{.kind = ObjectKind::kCheckpoint, .position = kBlock, .bytes = bytes};
  const auto stored = client_->Store(prompt, std::span(&item, 1), false, Soon());
  ASSERT_FALSE(stored.has_value());
  EXPECT_EQ(stored.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ClientTest, ServesPurelyRecurrentModels) {
  NamespaceSpec spec = Spec();
  spec.kv_bytes_per_token = 0;
  const auto space = OpenSpace(*client_, spec);
  const Tokens tokens = Count(2 * kBlock + 7);
  const auto prompt = PromptIn(space, tokens);
  Match(prompt);  // Makes the prefix known.
  const auto bytes = BytesOf(ObjectKind::kCheckpoint, 2 * kBlock + 7, kState);
  const Client::StoreItem item{
      .kind = ObjectKind::kCheckpoint, .position = 2 * kBlock + 7, .bytes = bytes};
  const auto stored = client_->Store(prompt, std::span(&item, 1), false, Soon());
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->written, 1U);
  const Client::Hit hit = Match(PromptIn(space, Count(3 * kBlock)));
  EXPECT_EQ(hit.resume_at, 2 * kBlock + 7);
  const std::vector<Piece> state = {{ObjectKind::kCheckpoint, 2 * kBlock + 7, 0}};
  EXPECT_EQ(Load(hit, 0), state);
  Release(hit);
}

TEST_F(ClientTest, ALeaseExpiresByItself) {
  const auto prompt = Prompt(Count(kBlock + 1));
  Store(prompt, kBlock, {kBlock});
  const Client::Hit hit = Match(prompt);
  ASSERT_NE(hit.lease, 0U);
  clock_.Advance(cache_->config().lease_time + std::chrono::milliseconds(1));
  const auto loaded = client_->Load(
      hit, 0, [](const ObjectView&) { return std::span<std::byte>(); }, Soon());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kExpired);
  Release(Match(prompt));  // Every match sweeps.
  EXPECT_EQ(cache_->Stats().leases, 0U);
  EXPECT_EQ(cache_->Stats().leases_expired, 1U);
  const Status released = client_->Release(hit, Soon());
  ASSERT_FALSE(released.has_value());
  EXPECT_EQ(released.error().code, ErrorCode::kExpired);
}

TEST_F(ClientTest, LeasesEndWithTheirClient) {
  const auto prompt = Prompt(Count(kBlock + 1));
  Store(prompt, kBlock, {kBlock});
  ASSERT_NE(Match(prompt).lease, 0U);
  ASSERT_NE(Match(prompt).lease, 0U);
  EXPECT_EQ(cache_->Stats().leases, 2U);
  client_.reset();
  EXPECT_EQ(cache_->Stats().leases, 0U);
}

TEST_F(ClientTest, AnothersLeaseCannotBeUsed) {
  const auto prompt = Prompt(Count(kBlock + 1));
  Store(prompt, kBlock, {kBlock});
  const Client::Hit hit = Match(prompt);
  const auto other = NewClient();
  ASSERT_TRUE(other->Connect(Soon()).has_value());
  const auto give = [](const ObjectView&) { return std::span<std::byte>(); };
  const auto loaded = other->Load(hit, 0, give, Soon());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kExpired);
  EXPECT_FALSE(other->Release(hit, Soon()).has_value());
  EXPECT_EQ(cache_->Stats().leases, 1U);
  Release(hit);
}

TEST_F(ClientTest, RefusesATargetOfTheWrongSize) {
  const auto prompt = Prompt(Count(kBlock + 1));
  Store(prompt, kBlock, {kBlock});
  const Client::Hit hit = Match(prompt);
  std::vector<std::byte> memory(7);
  const auto loaded = client_->Load(
      hit, 0, [&](const ObjectView&) { return std::span<std::byte>(memory); }, Soon());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kInvalidArgument);
  Release(hit);
}

TEST_F(ClientTest, RefusesPromptsThatAreNotOfTheNamespace) {
  const auto empty = client_->MakePrompt(space_, 1, {});
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(client_->MakePrompt(99, 1, Count(3)).has_value());
  NamespaceSpec wide = Spec();
  wide.block_tokens = 2 * kBlock;
  auto prompt = Prompt(Count(4 * kBlock));
  prompt.name_space = OpenSpace(*client_, wide);
  const auto hit = client_->Match(prompt, Soon());
  ASSERT_FALSE(hit.has_value());
  EXPECT_EQ(hit.error().code, ErrorCode::kInvalidArgument);
  prompt.name_space = 99;
  EXPECT_FALSE(client_->KeyAt(prompt, 1).has_value());
}

TEST_F(ClientTest, ADrainingCacheTakesNothingNew) {
  const auto prompt = Prompt(Count(kBlock + 1));
  cache_->BeginDrain();
  const auto hit = client_->Match(prompt, Soon());
  ASSERT_FALSE(hit.has_value());
  EXPECT_EQ(hit.error().code, ErrorCode::kUnavailable);
}

TEST_F(ClientTest, ADeadlineThatIsOverAsksNobody) {
  const auto prompt = Prompt(Count(kBlock + 1));
  const TimePoint over = In(std::chrono::milliseconds(-1));
  for (int i = 0; i < 10; ++i) {  // Often, yet the circuit breaker stays closed.
    const auto hit = client_->Match(prompt, over);
    ASSERT_FALSE(hit.has_value());
    EXPECT_EQ(hit.error().code, ErrorCode::kDeadlineExceeded);
  }
  EXPECT_EQ(cache_->Stats().matches, 0U);
  EXPECT_EQ(ResumesAt(prompt), 0U);
}

// One thread's load hangs in its target callback. The others must not wait longer than they said.
TEST_F(ClientTest, WaitsForOtherCallsNoLongerThanItsDeadline) {
  const Tokens tokens = Count(kBlock + 1);
  const auto prompt = Prompt(tokens);
  Store(prompt, kBlock, {kBlock});
  const Client::Hit hit = Match(prompt);
  std::promise<void> entered;
  std::promise<void> leave;
  std::thread loader([&] {
    bool first = true;
    std::vector<std::vector<std::byte>> memory;
    const auto loaded = client_->Load(
        hit, 0,
        [&](const ObjectView& object) {
          if (first) {
            first = false;
            entered.set_value();
            leave.get_future().wait();
          }
          return std::span<std::byte>(memory.emplace_back(object.bytes));
        },
        Soon());
    EXPECT_TRUE(loaded.has_value());
  });
  entered.get_future().wait();
  const TimePoint start = SteadyClock::Instance().Now();
  const auto late = client_->Match(prompt, In(std::chrono::milliseconds(20)));
  EXPECT_LT(SteadyClock::Instance().Now() - start, std::chrono::seconds(2));
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(Prompt(tokens).keys, prompt.keys) << "calls without a deadline do not wait at all";
  EXPECT_EQ(client_->PlaneName(), "embedded");
  leave.set_value();
  loader.join();
  Release(hit);
}

TEST_F(ClientTest, ManyThreadsMayShareOne) {
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      const Tokens tokens = Count(2 * kBlock + 1, t * 1000);
      const auto prompt = client_->MakePrompt(space_, t, tokens);
      ASSERT_TRUE(prompt.has_value());
      for (int round = 0; round < 20; ++round) {
        const Client::Hit hit = Match(*prompt);
        EXPECT_EQ(hit.resume_at, round == 0 ? 0U : 2 * kBlock);
        if (hit.resume_at != 0) {
          EXPECT_EQ(Load(hit, 0).size(), 3U);
        }
        Release(hit);
        Store(*prompt, 2 * kBlock, {2 * kBlock});
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_F(ClientTest, TellsWhatItObserved) {
  const auto prompt = Prompt(Count(kBlock));
  ASSERT_TRUE(
      client_->Observe(prompt, {.prompt_tokens = kBlock, .gap_tokens = 5, .failed = true}, Soon())
          .has_value());
  EXPECT_EQ(cache_->Stats().gap_tokens, 5U);
  EXPECT_EQ(cache_->Stats().failed_restores, 1U);
}

}  // namespace
}  // namespace cairn

// Several clients on the same prefixes, and clients that die at the worst moment.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

constexpr std::uint64_t kState = 4 * kMiB;

class SharingTest : public DaemonTest, public ::testing::WithParamInterface<Way> {
 protected:
  [[nodiscard]] std::string endpoint() { return EndpointOf(daemon(), GetParam()); }

  /// A model with states so large that a client can die in the middle of one.
  static NamespaceSpec LargeModel() {
    NamespaceSpec spec = SmallModel();
    spec.model = "large";
    spec.checkpoint_bytes = kState;
    return spec;
  }

  /// After a client died: nothing of it is left, and others find and store as if it had never been.
  void ExpectFreshStoreWorks(std::span<const std::uint32_t> tokens) {
    daemon().ExpectNothingHeld();
    Engine engine(endpoint(), GetParam().plane, LargeModel());
    ASSERT_TRUE(engine.Open());
    const auto miss = engine.Load(tokens);
    ASSERT_TRUE(miss.has_value()) << Why(miss);
    EXPECT_EQ(miss->resume_at, 0U) << "a half-written object was visible";
    const auto stored = engine.Store(tokens, {16});
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    EXPECT_EQ(stored->refused, 0U);
    const auto hit = engine.Load(tokens);
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 16U);
    EXPECT_EQ(hit->wrong, 0U);
  }
};

// Each writer has bytes of its own, so that a mix, or a second write, would show.
TEST_P(SharingTest, RacingWritersWriteEachObjectOnce) {
  constexpr std::uint64_t kWriters = 4;
  constexpr std::uint64_t kReaders = 2;
  const std::uint64_t prefixes = kSanitized ? 10 : 60;
  ASSERT_TRUE(StartDaemon());
  std::vector<std::atomic<std::uint32_t>> written(prefixes);
  std::atomic<std::uint64_t> wrong = 0;
  std::atomic<std::uint64_t> hits = 0;
  std::atomic<std::uint64_t> failures = 0;
  std::atomic<std::uint64_t> writing = kWriters;
  std::barrier start(kWriters + kReaders);
  std::vector<std::thread> threads;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      Engine engine(endpoint(), GetParam().plane);
      failures += engine.Open() ? 0 : 1;
      start.arrive_and_wait();
      for (std::uint64_t p = 0; p < prefixes; ++p) {
        const auto stored = engine.Store(Tokens(p, 100), {48, 96}, false, Soon(), writer);
        failures += stored && stored->refused == 0 ? 0 : 1;
        written[p] += stored ? stored->written : 0;
      }
      writing -= 1;
    });
  }
  for (std::uint64_t reader = 0; reader < kReaders; ++reader) {
    threads.emplace_back([&] {
      Engine engine(endpoint(), GetParam().plane);
      failures += engine.Open() ? 0 : 1;
      start.arrive_and_wait();
      while (writing != 0) {
        for (std::uint64_t p = 0; p < prefixes; ++p) {
          const auto read = engine.Load(Tokens(p, 100), Soon(), kWriters);
          failures += read ? 0 : 1;
          wrong += read ? read->wrong : 0;
          hits += read && read->resume_at != 0 ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(failures, 0U);
  EXPECT_GT(hits, 0U);
  for (const auto& count : written) {
    EXPECT_EQ(count, 6U + 2U) << "exactly one writer per object";
  }
}

// One engine for many threads: calls wait for one another, and none gets another's bytes.
TEST_P(SharingTest, OneClientMayBeUsedByManyThreads) {
  ASSERT_TRUE(StartDaemon());
  Engine writer(endpoint(), GetParam().plane);
  ASSERT_TRUE(writer.Open());
  constexpr std::uint64_t kPrefixes = 8;
  for (std::uint64_t p = 0; p < kPrefixes; ++p) {
    ASSERT_TRUE(writer.Store(Tokens(p, 40), {32}));
  }
  auto client = std::make_unique<Client>(ClientOptions{
      .endpoint = endpoint(), .cache = nullptr, .plane = GetParam().plane, .name = "shared"});
  const auto handle = client->OpenNamespace(SmallModel(), Soon());
  ASSERT_TRUE(handle.has_value()) << Why(handle);
  std::atomic<int> bad = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t p = 0; p < kPrefixes; ++p) {
    threads.emplace_back([&, p] {
      const auto tokens = Tokens(p, 40);
      const auto prompt = client->MakePrompt(*handle, p, tokens);
      for (int i = 0; i < (kSanitized ? 5 : 50); ++i) {
        const auto hit = client->Match(*prompt, Soon());
        std::map<std::pair<std::uint32_t, ObjectKind>, std::vector<std::byte>> got;
        const auto target = [&got](const ObjectView& object) {
          auto& bytes = got[{object.position, object.kind}];
          bytes.resize(object.bytes);
          return std::span<std::byte>(bytes);
        };
        bad +=
            hit && client->Load(*hit, 0, target, Soon()) && client->Release(*hit, Soon()) ? 0 : 1;
        for (const auto& [what, bytes] : got) {
          const auto key = client->KeyAt(*prompt, what.first);
          bad += bytes == PayloadOf(*key, what.second, bytes.size()) ? 0 : 1;
        }
        bad += got.size() == 3 ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(bad, 0);
}

TEST_P(SharingTest, ReaderThatDiesLeavesNoLease) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(1, 20);
  Engine engine(endpoint(), GetParam().plane, LargeModel());
  ASSERT_TRUE(engine.Open());
  ASSERT_TRUE(engine.Store(tokens, {16}));
  {
    auto dying = OpenedChannel::To(endpoint(), LargeModel());
    const auto keys = BlockKeys(dying.seed, tokens, 16);
    const auto match = dying.Call(MatchRequest(dying.space, keys, 20));
    ASSERT_TRUE(match.has_value()) << Why(match);
    v1::Request fetch;
    fetch.mutable_fetch()->set_lease_id(match->match().lease_id());
    fetch.mutable_fetch()->set_position(16);
    const auto fetched = dying.Call(fetch);
    ASSERT_TRUE(fetched.has_value()) << Why(fetched);
    EXPECT_EQ(daemon().Status().leases(), 1U);
    // Begin to read the state as bytes, take a tenth of it, and die.
    RawPeer data(endpoint());
    ASSERT_TRUE(data.Call(RawPeer::Hello(v1::ROLE_DATA, dying.channel.hello().session_token())));
    v1::Request get;
    get.set_id(2);
    get.mutable_stream_get()->set_lease_id(match->match().lease_id());
    get.mutable_stream_get()->set_index(1);
    const auto head = data.Call(get);
    ASSERT_TRUE(head.has_value());
    ASSERT_EQ(head->stream_get().bytes(), kState);
    std::vector<char> piece(kState / 10);
    ASSERT_GT(recv(data.fd(), piece.data(), piece.size(), 0), 0);
  }
  const auto hit = engine.Load(tokens);
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 16U);
  EXPECT_EQ(hit->wrong, 0U);
}

TEST_P(SharingTest, WriterThatDiesBeforeCommitLeavesNothing) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(2, 20);
  {
    const auto backend =
        ConnectBackend(*ParseEndpoint(endpoint()),
                       {.plane = GetParam().plane, .client = "dying", .device = nullptr}, Soon());
    ASSERT_TRUE(backend.has_value()) << Why(backend);
    const auto space = (*backend)->OpenNamespace(LargeModel(), Soon());
    ASSERT_TRUE(space.has_value()) << Why(space);
    const auto keys = BlockKeys(space->seed, tokens, 16);
    const std::vector<ReserveItem> items = {{.kind = ObjectKind::kCheckpoint,
                                             .key = keys[0],
                                             .parent = space->seed,
                                             .position = 16,
                                             .bytes = kState}};
    const auto outcomes = (*backend)->Reserve(space->id, 1, items, Soon());
    ASSERT_TRUE(outcomes.has_value()) << Why(outcomes);
    ASSERT_EQ((*outcomes)[0].code, ErrorCode::kOk);
    const std::vector<std::byte> half(kState / 2);
    ASSERT_TRUE((*backend)->Write((*outcomes)[0].token, half, Soon()));
    EXPECT_EQ(daemon().Status().reservations(), 1U);
    Engine second(endpoint(), GetParam().plane, LargeModel());
    ASSERT_TRUE(second.Open());
    const auto blocked = second.Store(tokens, {16});
    ASSERT_TRUE(blocked.has_value()) << Why(blocked);
    EXPECT_EQ(blocked->codes[1], ErrorCode::kInProgress);
    v1::AdminRequest clear;
    clear.mutable_clear();
    ASSERT_TRUE(daemon().Admin(clear)) << "clearing spares what is being written";
    EXPECT_EQ(daemon().Status().reservations(), 1U);
  }
  ExpectFreshStoreWorks(tokens);
}

TEST_P(SharingTest, WriterThatDiesInTheMiddleOfAStreamLeavesNothing) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(3, 20);
  {
    auto dying = OpenedChannel::To(endpoint(), LargeModel());
    const auto keys = BlockKeys(dying.seed, tokens, 16);
    const std::uint64_t token = dying.ReserveFirstCheckpoint(keys[0], 16, kState);
    RawPeer data(endpoint());
    ASSERT_TRUE(data.Call(RawPeer::Hello(v1::ROLE_DATA, dying.channel.hello().session_token())));
    v1::Request put;
    put.set_id(2);
    put.mutable_stream_put()->set_token(token);
    put.mutable_stream_put()->set_bytes(kState);
    ASSERT_TRUE(data.Send(RawPeer::Framed(put) + std::string(kState / 3, 'x')));
    // The control connection goes first: the reservation ends while it is being filled.
  }
  ExpectFreshStoreWorks(tokens);
}

TEST_P(SharingTest, SessionEndFreesHundredsOfLeasesAndReservations) {
  ASSERT_TRUE(StartDaemon());
  Engine engine(endpoint(), GetParam().plane);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(4, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  {
    auto greedy = OpenedChannel::To(endpoint(), SmallModel());
    const auto keys = BlockKeys(greedy.seed, tokens, 16);
    for (int i = 0; i < 300; ++i) {
      ASSERT_TRUE(greedy.Call(MatchRequest(greedy.space, keys, 40)));
      PrefixKey key;
      std::memcpy(key.bytes.data(), &i, sizeof(i));
      key.bytes[31] = std::byte{1};
      greedy.ReserveFirstCheckpoint(key, 16, 4096);
    }
    const v1::StatusReply status = daemon().Status();
    EXPECT_EQ(status.leases(), 300U);
    EXPECT_EQ(status.reservations(), 300U);
  }
  const auto hit = engine.Load(tokens);
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 32U);
}

INSTANTIATE_TEST_SUITE_P(Ways, SharingTest, ::testing::Values(kShm, kStreamUnix, kStreamTcp),
                         [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace cairn::test

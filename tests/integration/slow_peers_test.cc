// Peers that stall: each is cut off within its bound, none holds anything, and meanwhile others are
// served. Peers that are slow but never stall are served to the end. All run side by side, so the
// test takes little longer than the longest bound.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/latency.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

class SlowPeersTest : public DaemonTest {
 protected:
  struct Stall {
    const char* what;
    std::unique_ptr<RawPeer> peer;
    int bound_s;
    std::string dribble;  ///< Sent one byte a second.
  };

  Stall Start(const char* what, const std::string& endpoint, bool greet, const std::string& sent,
              int bound_s, std::string dribble = "") {
    Stall stall{what, std::make_unique<RawPeer>(endpoint), bound_s, std::move(dribble)};
    if (greet) {
      EXPECT_TRUE(stall.peer->Call(RawPeer::Hello())) << what;
    }
    if (!sent.empty()) {
      EXPECT_TRUE(stall.peer->Send(sent)) << what;
    }
    return stall;
  }

  /// A data connection of `control`'s session that has sent `request`.
  std::unique_ptr<RawPeer> Data(const OpenedChannel& control, const v1::Request& request) {
    auto peer = std::make_unique<RawPeer>(daemon().UnixEndpoint());
    EXPECT_TRUE(peer->Call(RawPeer::Hello(v1::ROLE_DATA, control.channel.hello().session_token())));
    EXPECT_TRUE(peer->Send(request));
    return peer;
  }

  /// To stream the checkpoint of a prefix of its own.
  static v1::Request PutRequest(OpenedChannel& control, int name, std::uint64_t bytes) {
    PrefixKey key;
    key.bytes[0] = static_cast<std::byte>(name);
    v1::Request put;
    put.set_id(2);
    put.mutable_stream_put()->set_token(control.ReserveFirstCheckpoint(key, 16, bytes));
    put.mutable_stream_put()->set_bytes(bytes);
    return put;
  }

  // Longer than any peer may stall.
  static constexpr std::uint64_t kSlowSeconds = 36;

  /// Takes an answer and a payload of `bytes`, a piece every second.
  static void ReadSlowly(RawPeer& peer, std::uint64_t bytes) {
    ASSERT_TRUE(peer.Receive());
    std::vector<char> buffer(64 * kKiB);
    std::uint64_t got = 0;
    for (std::uint64_t second = 1; second <= kSlowSeconds; ++second) {
      const std::uint64_t until = bytes * second / kSlowSeconds;
      while (got < until) {
        pollfd p{.fd = peer.fd(), .events = POLLIN, .revents = 0};
        ASSERT_EQ(poll(&p, 1, 10'000), 1) << "nothing comes after " << got << " bytes";
        const auto want = static_cast<std::size_t>(std::min(until - got, buffer.size()));
        const ssize_t now = recv(peer.fd(), buffer.data(), want, MSG_DONTWAIT);
        ASSERT_GT(now, 0) << "cut off after " << got << " bytes, " << second << " s";
        got += static_cast<std::uint64_t>(now);
      }
      std::this_thread::sleep_for(seconds(1));
    }
  }

  /// Gives a payload of `bytes`, a piece every second, and takes the answer.
  static void WriteSlowly(RawPeer& peer, std::uint64_t bytes) {
    std::uint64_t given = 0;
    for (std::uint64_t second = 1; second <= kSlowSeconds; ++second) {
      const std::uint64_t until = bytes * second / kSlowSeconds;
      ASSERT_TRUE(peer.Send(std::string(until - given, 'x'))) << "cut off after " << second << " s";
      given = until;
      std::this_thread::sleep_for(seconds(1));
    }
    const auto answer = peer.Receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->code(), 0U) << answer->message();
  }

  static void WatchUntilClosed(Stall& stall) {
    const auto start = Clock::now();
    const auto limit = seconds(stall.bound_s + (kSanitized ? 30 : 3));
    std::size_t at = 0;
    while (Clock::now() - start < limit) {
      if (stall.peer->ClosedWithin(seconds(1))) {
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        Report(std::string(stall.what) + ": cut off after " + std::to_string(took) + " s");
        return;
      }
      if (at < stall.dribble.size()) {
        static_cast<void>(stall.peer->Send(stall.dribble.substr(at++, 1)));
      }
    }
    ADD_FAILURE() << stall.what << ": still open after " << limit.count() << " s";
  }
};

TEST_F(SlowPeersTest, AreCutOffIfTheyStall) {
  ASSERT_TRUE(StartDaemon({.flags = {}, .variables = {}, .memory = "256MiB"}));
  const std::string unix_socket = daemon().UnixEndpoint();
  const std::string http = "127.0.0.1:" + std::to_string(daemon().http_port());
  const std::string hello = RawPeer::Framed(RawPeer::Hello());
  const std::string header = RawPeer::Header(FrameHeader::kMagic, 1, 0, 1000);
  std::vector<Stall> stalls;
  stalls.push_back(Start("silent, unix", unix_socket, false, "", 5));
  stalls.push_back(Start("silent, tcp", daemon().TcpEndpoint(), false, "", 5));
  stalls.push_back(Start("Hello a byte a second", unix_socket, false, "", 5, hello));
  stalls.push_back(Start("half a Hello", unix_socket, false, hello.substr(0, 18), 5));
  stalls.push_back(Start("half a header", unix_socket, true, header.substr(0, 7), 30));
  stalls.push_back(Start("half a message", daemon().TcpEndpoint(), true, header + "x", 30));
  stalls.push_back(Start("HTTP header a byte a second", http, false, "GET /metr", 10,
                         "ics HTTP/1.1\r\nHost: slowloris\r\n\r\n"));
  stalls.push_back(Start("HTTP silent", http, false, "", 10));

  // A reader that takes no bytes, and a writer that sends none.
  NamespaceSpec spec = SmallModel();
  spec.checkpoint_bytes = 32 * kMiB;
  const auto tokens = Tokens(1, 20);
  {
    Engine engine(unix_socket, PlaneChoice::kAuto, spec);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(tokens, {16}));
  }
  auto control = OpenedChannel::To(unix_socket, spec);
  const auto keys = BlockKeys(control.seed, tokens, 16);
  const auto match = control.Call(MatchRequest(control.space, keys, 20));
  ASSERT_TRUE(match.has_value()) << Why(match);
  v1::Request fetch;
  fetch.mutable_fetch()->set_lease_id(match->match().lease_id());
  fetch.mutable_fetch()->set_position(16);
  ASSERT_TRUE(control.Call(fetch));
  v1::Request get;
  get.set_id(2);
  get.mutable_stream_get()->set_lease_id(match->match().lease_id());
  get.mutable_stream_get()->set_index(1);
  const auto reader = Data(control, get);
  stalls.push_back({"payload that does not come",
                    Data(control, PutRequest(control, 9, spec.checkpoint_bytes)), 30, ""});
  ASSERT_TRUE(stalls.back().peer->Send("abc"));
  // The same at a steady pace.
  const auto slow_reader = Data(control, get);
  const auto slow_writer = Data(control, PutRequest(control, 8, spec.checkpoint_bytes));

  std::atomic<int> watching = static_cast<int>(stalls.size()) + 2;
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    ReadSlowly(*slow_reader, spec.checkpoint_bytes);
    watching -= 1;
  });
  threads.emplace_back([&] {
    WriteSlowly(*slow_writer, spec.checkpoint_bytes);
    watching -= 1;
  });
  for (Stall& stall : stalls) {
    threads.emplace_back([&stall, &watching] {
      WatchUntilClosed(stall);
      watching -= 1;
    });
  }
  // A well-behaved engine all the while.
  Engine engine(unix_socket, PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  Latencies latencies;
  for (std::uint64_t i = 0; watching != 0; ++i) {
    const auto start = Clock::now();
    EXPECT_TRUE(engine.Store(Tokens(100 + i % 50, 40), {32}));
    const auto hit = engine.Load(Tokens(100 + i % 50, 40));
    latencies.Add(Clock::now() - start);
    EXPECT_TRUE(hit && hit->resume_at == 32 && hit->wrong == 0) << Why(hit);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  Report("store and load beside them: " + latencies.Text());
  // By now the reader's 30 s are over too: what it gets ends before the object does.
  EXPECT_LT(reader->ReadToEnd(seconds(5)).size(), spec.checkpoint_bytes);
  EXPECT_TRUE(reader->ClosedWithin(seconds(5)));
}

TEST_F(SlowPeersTest, ManyIdleConnectionsDisturbNobody) {
  ASSERT_TRUE(StartDaemon());
  std::vector<std::unique_ptr<RawPeer>> idle;
  for (int i = 0; i < (kSanitized ? 50 : 400); ++i) {
    idle.push_back(
        std::make_unique<RawPeer>(i % 2 == 0 ? daemon().UnixEndpoint() : daemon().TcpEndpoint()));
    ASSERT_TRUE(idle.back()->Call(RawPeer::Hello())) << i;
  }
  for (int i = 0; i < 200; ++i) {  // Those beyond the bound of the HTTP port are closed.
    idle.push_back(std::make_unique<RawPeer>("127.0.0.1:" + std::to_string(daemon().http_port())));
  }
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kStream);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(1, 40), {32}));
    const auto hit = engine.Load(Tokens(1, 40));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 32U);
  }
  int closed = 0;
  for (std::size_t i = idle.size() - 200; i < idle.size(); ++i) {
    closed += idle[i]->ClosedWithin(std::chrono::milliseconds(10)) ? 1 : 0;
  }
  EXPECT_GE(closed, 100);
  idle.clear();
  EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 200);
}

}  // namespace
}  // namespace cairn::test

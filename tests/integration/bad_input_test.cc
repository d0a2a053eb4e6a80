// Peers that are confused, hostile or of another version. Each gets a clear error or a closed
// connection, and the daemon serves others as before.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "libcache/transport/data_plane.h"
#include "tests/integration/bad_input_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

constexpr std::uint32_t kMagic = FrameHeader::kMagic;

TEST_F(BadInputTest, FramesThatAreNotOurs) {
  const auto header = &RawPeer::Header;
  ExpectRefused(header(0x12345678, 1, 0, 0, 0), ErrorCode::kCorrupt, "magic");
  ExpectRefused("GET / HTTP/1.1\r\nHost: x\r\n\r\n", ErrorCode::kCorrupt, "magic");
  ExpectRefused(
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(64, 'x'),
      ErrorCode::kCorrupt, "magic");  // A TLS greeting.
  ExpectRefused(header(kMagic, 2, 0, 0, 0), ErrorCode::kUnsupported, "version 2");
  ExpectRefused(header(kMagic, 1, 7, 0, 0), ErrorCode::kCorrupt, "reserved");
  ExpectRefused(header(kMagic, 1, 0, 0, 9), ErrorCode::kCorrupt, "reserved");
  ExpectRefused(header(kMagic, 1, 0, kMaxHelloBytes + 1, 0), ErrorCode::kInvalidArgument, "limit");
  ExpectRefused(header(kMagic, 1, 0, UINT32_MAX, 0), ErrorCode::kInvalidArgument, "4294967295");
  ExpectRefused(header(kMagic, 1, 0, 20, 0) + std::string(20, '\xff'), ErrorCode::kCorrupt,
                "no valid message");
}

TEST_F(BadInputTest, FirstMessageMustBeAProperHello) {
  v1::Request match;
  match.set_id(1);
  match.mutable_match();
  ExpectRefused(RawPeer::Framed(match), ErrorCode::kInvalidArgument, "Hello");
  ExpectRefused(RawPeer::Framed(v1::Request()), ErrorCode::kInvalidArgument, "Hello");
  v1::Request future = RawPeer::Hello();
  future.mutable_hello()->set_protocol_version(9);
  ExpectRefused(RawPeer::Framed(future), ErrorCode::kUnsupported, "version 9");
  ExpectRefused(RawPeer::Framed(RawPeer::Hello(v1::ROLE_DATA)), ErrorCode::kPermissionDenied,
                "token");
  ExpectRefused(RawPeer::Framed(RawPeer::Hello(v1::ROLE_DATA, std::string(16, 'z'))),
                ErrorCode::kPermissionDenied, "token");
}

TEST_F(BadInputTest, TokenOfAnEndedSessionOpensNothing) {
  std::string token;
  {
    RawPeer control(daemon().UnixEndpoint());
    const auto hello = control.Call(RawPeer::Hello());
    ASSERT_TRUE(hello.has_value());
    token = hello->hello().session_token();
    ASSERT_EQ(token.size(), 16U);
  }
  daemon().ExpectNothingHeld();
  ExpectRefused(RawPeer::Framed(RawPeer::Hello(v1::ROLE_DATA, token)), ErrorCode::kPermissionDenied,
                "token");
}

TEST_F(BadInputTest, FramesAfterHello) {
  const std::vector<std::tuple<std::string, ErrorCode, std::string>> cases = {
      {RawPeer::Header(kMagic, 1, 0, kMaxFrameBytes + 1), ErrorCode::kInvalidArgument, "limit"},
      {RawPeer::Header(kMagic, 3, 0, 10), ErrorCode::kUnsupported, "version 3"},
      {RawPeer::Header(1, 1, 0, 10), ErrorCode::kCorrupt, "magic"},
      {RawPeer::Header(kMagic, 1, 0, 8) + std::string(8, '\x0f'), ErrorCode::kCorrupt,
       "no valid message"}};
  for (const auto& [bytes, code, word] : cases) {
    RawPeer peer(daemon().UnixEndpoint());
    ASSERT_TRUE(peer.Call(RawPeer::Hello()));
    ASSERT_TRUE(peer.Send(bytes));
    ExpectAnswer(peer, code, word);
    EXPECT_TRUE(peer.ClosedWithin(std::chrono::milliseconds(5000)));
  }
  const auto samples = ParseMetrics(HttpGet(daemon().http_port(), "/metrics").body);
  EXPECT_EQ(samples.at("cairn_refused_frames_total"), 4);
}

TEST_F(BadInputTest, HelloTwiceAndUnknownRequestsKeepTheConnection) {
  RawPeer peer(daemon().UnixEndpoint());
  ASSERT_TRUE(peer.Call(RawPeer::Hello()));
  v1::Request again = RawPeer::Hello();
  again.set_id(2);
  ASSERT_TRUE(peer.Send(again));
  ExpectAnswer(peer, ErrorCode::kUnsupported, "request");
  v1::Request empty;  // What a request of a later version looks like to this one.
  empty.set_id(3);
  ASSERT_TRUE(peer.Send(empty));
  ExpectAnswer(peer, ErrorCode::kUnsupported, "older than the client");
  v1::Request open = OpenRequest(SmallModel());
  open.set_id(4);
  const auto opened = peer.Call(open);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->code(), 0U);
  EXPECT_EQ(opened->id(), 4U);
}

TEST_F(BadInputTest, FramesCutShort) {
  for (const std::string& part :
       {std::string("C"), RawPeer::Header(kMagic, 1, 0, 100).substr(0, 15),
        RawPeer::Header(kMagic, 1, 0, 100) + "half",
        RawPeer::Framed(RawPeer::Hello()).substr(0, 20), std::string()}) {
    RawPeer peer(daemon().UnixEndpoint());
    if (!part.empty()) {
      ASSERT_TRUE(peer.Send(part));
    }
    peer.Close();
  }
  RawPeer greeted(daemon().TcpEndpoint());
  ASSERT_TRUE(greeted.Call(RawPeer::Hello()));
  ASSERT_TRUE(greeted.Send(RawPeer::Header(kMagic, 1, 0, kMaxFrameBytes) + "x"));
  greeted.Close();
}

// A header may promise 4 MiB; memory is given for what comes, not for what is promised.
TEST_F(BadInputTest, PromisesCostNoMemory) {
  const std::uint64_t before = daemon().Status().rss_bytes();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(std::make_unique<RawPeer>(daemon().UnixEndpoint()));
    ASSERT_TRUE(peers.back()->Call(RawPeer::Hello()));
    ASSERT_TRUE(peers.back()->Send(RawPeer::Header(kMagic, 1, 0, kMaxFrameBytes) +
                                   std::string(40'000, 'x')));
  }
  const std::uint64_t after = daemon().Status().rss_bytes();
  if (!kSanitized) {
    EXPECT_LE(after, before + 40 * kMiB) << "100 promises of 4 MiB each";
  }
}

// 2 bytes on the wire are 50 as an item of a message: what a large request took is given back, so
// that idle connections do not add up.
TEST_F(BadInputTest, LargeRequestsLeaveNoMemoryBehind) {
  v1::Request large;
  for (int i = 0; i < 400'000; ++i) {
    large.mutable_commit()->add_items();
  }
  v1::Request small;
  small.mutable_abort();
  const std::uint64_t before = daemon().Status().rss_bytes();
  std::vector<OpenedChannel> idle;
  for (int i = 0; i < 16; ++i) {
    idle.push_back(OpenedChannel::To(daemon().UnixEndpoint(), SmallModel()));
    ExpectError(idle.back().Call(large), ErrorCode::kInvalidArgument, "items");
    ASSERT_TRUE(idle.back().Call(small));
  }
  if (!kSanitized) {
    EXPECT_LE(daemon().Status().rss_bytes(), before + 96 * kMiB);
  }
}

TEST_F(BadInputTest, Namespaces) {
  auto peer = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto refused = [&](const std::function<void(NamespaceSpec&)>& change,
                           const std::string& word) {
    NamespaceSpec spec = SmallModel();
    change(spec);
    ExpectError(peer.Call(OpenRequest(spec)), ErrorCode::kInvalidArgument, word);
  };
  refused([](NamespaceSpec& s) { s.model = ""; }, "model");
  refused([](NamespaceSpec& s) { s.block_tokens = 0; }, "block_tokens");
  refused([](NamespaceSpec& s) { s.block_tokens = 1U << 30U; }, "block_tokens");
  refused([](NamespaceSpec& s) { s.tp_size = 0; }, "tp_");
  refused([](NamespaceSpec& s) { s.checkpoint_bytes = 1ULL << 40U; }, "4 GiB");
  refused([](NamespaceSpec& s) { s.kv_bytes_per_token = UINT64_MAX; }, "4 GiB");
  refused(
      [](NamespaceSpec& s) {
        s.kv_bytes_per_token = 0;
        s.checkpoint_bytes = 0;
      },
      "nothing to cache");
}

TEST_F(BadInputTest, Matches) {
  auto peer = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto keys = BlockKeys(peer.seed, Tokens(1, 48), 16);
  ExpectError(peer.Call(MatchRequest(peer.space, {}, 0)), ErrorCode::kInvalidArgument,
              "prompt_tokens");
  ExpectError(peer.Call(MatchRequest(peer.space, keys, 47)), ErrorCode::kInvalidArgument,
              "blocks of 16");
  ExpectError(peer.Call(MatchRequest(peer.space, keys, 4'000'000'000)), ErrorCode::kInvalidArgument,
              "blocks of 16");
  ExpectError(peer.Call(MatchRequest(peer.space + 1, keys, 48)), ErrorCode::kInvalidArgument,
              "namespace_id");
  v1::Request odd = MatchRequest(peer.space, keys, 48);
  odd.mutable_match()->mutable_keys()->pop_back();
  ExpectError(peer.Call(odd), ErrorCode::kInvalidArgument, "32 bytes");
  // Keys in the wrong order are no error the daemon could see: they are a miss and do no harm.
  const std::vector<PrefixKey> reversed(keys.rbegin(), keys.rend());
  const auto miss = peer.Call(MatchRequest(peer.space, reversed, 48));
  ASSERT_TRUE(miss.has_value()) << Why(miss);
  EXPECT_EQ(miss->match().lease_id(), 0U);
}

TEST_F(BadInputTest, NamespaceOfAnotherConnectionIsUnknown) {
  auto first = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  auto second = Channel::Open(*ParseEndpoint(daemon().UnixEndpoint()), {}, Soon());
  ASSERT_TRUE(second.has_value()) << Why(second);
  v1::Request match = MatchRequest(first.space, {}, 5);
  ExpectError(second->Call(match, Soon()), ErrorCode::kInvalidArgument, "namespace_id");
}

TEST_F(BadInputTest, LeasesOfOthersAndOfNobody) {
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(5, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  auto owner = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  auto thief = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto match = owner.Call(MatchRequest(owner.space, BlockKeys(owner.seed, tokens, 16), 40));
  ASSERT_TRUE(match.has_value()) << Why(match);
  const std::uint64_t lease = match->match().lease_id();
  ASSERT_NE(lease, 0U);
  for (const std::uint64_t id : {lease, std::uint64_t{0}, UINT64_MAX}) {
    v1::Request fetch;
    fetch.mutable_fetch()->set_lease_id(id);
    fetch.mutable_fetch()->set_position(32);
    ExpectError(thief.Call(fetch), ErrorCode::kExpired, "lease");
    v1::Request release;
    release.mutable_release()->set_lease_id(id);
    ExpectError(thief.Call(release), ErrorCode::kExpired, "lease");
    v1::Request report;
    report.mutable_report_corrupt()->set_lease_id(id);
    ExpectError(thief.Call(report), ErrorCode::kExpired, "lease");
  }
  v1::Request fetch;
  fetch.mutable_fetch()->set_lease_id(lease);
  fetch.mutable_fetch()->set_position(17);
  ExpectError(owner.Call(fetch), ErrorCode::kNotFound, "17");
  fetch.mutable_fetch()->set_tail_key("short");
  ExpectError(owner.Call(fetch), ErrorCode::kInvalidArgument, "32 bytes");
  EXPECT_EQ(daemon().Status().leases(), 1U) << "the owner still has it";
}

TEST_F(BadInputTest, Reservations) {
  auto peer = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto keys = BlockKeys(peer.seed, Tokens(1, 48), 16);
  const auto reserve = [&](v1::Kind kind, std::uint32_t position, std::uint64_t bytes) {
    return peer.Call(ReserveRequest(peer.space, kind, peer.seed, keys[0], position, bytes));
  };
  ExpectError(reserve(v1::KIND_KV, 16, 1023), ErrorCode::kInvalidArgument, "bytes");
  ExpectError(reserve(v1::KIND_CHECKPOINT, 16, UINT64_MAX), ErrorCode::kInvalidArgument, "bytes");
  ExpectError(reserve(v1::KIND_KV, 0, 1024), ErrorCode::kInvalidArgument, "position");
  ExpectError(reserve(v1::KIND_KV, 32, 2048), ErrorCode::kInvalidArgument, "block of 16");
  v1::Request cut = ReserveRequest(peer.space, v1::KIND_KV, peer.seed, keys[0], 16, 1024);
  cut.mutable_reserve()->mutable_items(0)->mutable_key()->pop_back();
  ExpectError(peer.Call(cut), ErrorCode::kInvalidArgument, "32 bytes");
  const auto orphan =
      peer.Call(ReserveRequest(peer.space, v1::KIND_KV, keys[1], keys[2], 48, 1024));
  ASSERT_TRUE(orphan.has_value()) << Why(orphan);
  EXPECT_EQ(orphan->reserve().outcomes(0).code(), static_cast<std::uint32_t>(ErrorCode::kNotFound));
  v1::Request commit;
  commit.mutable_commit()->add_items()->set_token(12345);
  const auto unknown = peer.Call(commit);
  ASSERT_TRUE(unknown.has_value()) << Why(unknown);
  EXPECT_EQ(unknown->commit().codes(0), static_cast<std::uint32_t>(ErrorCode::kExpired));
  v1::Request abort;
  abort.mutable_abort()->add_tokens(12345);
  EXPECT_TRUE(peer.Call(abort)) << "aborting what is gone is no error";
  const std::uint64_t token = peer.ReserveFirstCheckpoint(keys[0], 16, 4096);
  commit.mutable_commit()->mutable_items(0)->set_token(token);
  const auto unfilled = peer.Call(commit);
  ASSERT_TRUE(unfilled.has_value()) << Why(unfilled);
  EXPECT_EQ(unfilled->commit().codes(0), static_cast<std::uint32_t>(ErrorCode::kInvalidArgument));
}

TEST_F(BadInputTest, WritesOutsideOfTheirMemory) {
  auto peer = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto keys = BlockKeys(peer.seed, Tokens(1, 48), 16);
  const std::uint64_t token = peer.ReserveFirstCheckpoint(keys[0], 16, 4096);
  const auto write = [&](std::uint64_t object_offset, std::uint64_t staging_offset,
                         std::uint64_t bytes) {
    v1::Request request;
    request.mutable_write()->set_token(token);
    request.mutable_write()->set_object_offset(object_offset);
    request.mutable_write()->set_staging_offset(staging_offset);
    request.mutable_write()->set_bytes(bytes);
    return peer.Call(request);
  };
  ExpectError(write(0, 0, 4096), ErrorCode::kInvalidArgument, "staging");  // None is attached.
  auto plane = OpenShmPlane(peer.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  ExpectError(write(0, UINT64_MAX, 4096), ErrorCode::kInvalidArgument, "staging");
  ExpectError(write(0, kMiB - 4095, 4096), ErrorCode::kInvalidArgument, "staging");
  ExpectError(write(0, 0, UINT64_MAX), ErrorCode::kInvalidArgument, "staging");
  ExpectError(write(0, 0, 4097), ErrorCode::kInvalidArgument, "object_offset");
  ExpectError(write(1, 0, 4095), ErrorCode::kInvalidArgument, "in order");
  ExpectError(write(UINT64_MAX, 0, 2), ErrorCode::kInvalidArgument, "object_offset");
  ExpectError(write(0, 0, 0), ErrorCode::kInvalidArgument, "object_offset");
  EXPECT_TRUE(write(0, kMiB - 4096, 4096)) << "the last page is allowed";
}

TEST_F(BadInputTest, DataConnections) {
  auto peer = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const std::string session_token = peer.channel.hello().session_token();
  const auto keys = BlockKeys(peer.seed, Tokens(1, 48), 16);
  const auto connect = [&] {
    auto data = std::make_unique<RawPeer>(daemon().TcpEndpoint());
    EXPECT_TRUE(data->Call(RawPeer::Hello(v1::ROLE_DATA, session_token)));
    return data;
  };
  v1::Request put;
  put.set_id(2);
  put.mutable_stream_put()->set_token(4711);
  put.mutable_stream_put()->set_bytes(10);
  auto data = connect();
  ASSERT_TRUE(data->Send(put));
  ExpectAnswer(*data, ErrorCode::kExpired, "reservation");
  EXPECT_TRUE(data->ClosedWithin(std::chrono::milliseconds(5000)))
      << "the payload has no frame to skip";
  put.mutable_stream_put()->set_token(peer.ReserveFirstCheckpoint(keys[0], 16, 4096));
  put.mutable_stream_put()->set_bytes(1ULL << 62U);
  data = connect();
  ASSERT_TRUE(data->Send(put));
  ExpectAnswer(*data, ErrorCode::kInvalidArgument, "bytes");
  EXPECT_TRUE(data->ClosedWithin(std::chrono::milliseconds(5000)));
  v1::Request get;
  get.set_id(2);
  get.mutable_stream_get()->set_lease_id(1);
  data = connect();
  ASSERT_TRUE(data->Send(get));
  ExpectAnswer(*data, ErrorCode::kExpired, "lease");
  v1::Request match = MatchRequest(peer.space, keys, 48);
  match.set_id(3);
  ASSERT_TRUE(data->Send(match)) << "a refused read leaves the connection in step";
  ExpectAnswer(*data, ErrorCode::kInvalidArgument, "payload only");
}

}  // namespace
}  // namespace cairn::test

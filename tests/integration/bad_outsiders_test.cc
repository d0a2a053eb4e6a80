// Administration and the HTTP port, as seen by those who should not be there; and what any of them
// can make the daemon print.
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/bad_input_fixture.h"
#include "tests/integration/http_client.h"

namespace cairn::test {
namespace {

TEST_F(BadInputTest, AdministrationFromAfarIsRefused) {
  auto peer = OpenedChannel::To(daemon().TcpEndpoint(), SmallModel());
  v1::Request request;
  request.mutable_admin()->mutable_clear();
  ExpectError(peer.Call(request), ErrorCode::kPermissionDenied, "Unix socket");
  v1::Request attach;
  attach.mutable_attach_shared_memory();
  ExpectError(peer.Call(attach), ErrorCode::kUnsupported, "Unix socket");
}

TEST_F(BadInputTest, AdministrationWithBadKeys) {
  for (const char* const key : {"", "zz", "0123456789abcdef", "../../etc/passwd"}) {
    v1::AdminRequest lookup;
    lookup.mutable_lookup()->set_key(key);
    v1::AdminRequest pin;
    pin.mutable_pin()->set_key(key);
    v1::AdminRequest evict;
    evict.mutable_evict()->set_key(key);
    for (const auto& request : {lookup, pin, evict}) {
      const auto reply = daemon().Admin(request);
      ASSERT_FALSE(reply.has_value()) << key;
      EXPECT_TRUE(reply.error().code == ErrorCode::kInvalidArgument ||
                  reply.error().code == ErrorCode::kNotFound)
          << Why(reply);
      EXPECT_FALSE(reply.error().message.empty());
    }
  }
  const auto nothing = daemon().Admin(v1::AdminRequest());
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().code, ErrorCode::kUnsupported);
}

TEST_F(BadInputTest, HttpGarbage) {
  const std::uint16_t port = daemon().http_port();
  for (const std::string& request :
       {std::string("\x01\x02\x03 nonsense\r\n\r\n"), RawPeer::Framed(RawPeer::Hello()),
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'b') + "\r\n\r\n",
        "GET /metrics HTTP/9.9\r\n\r\n" + std::string(1000, '\0'),
        std::string("POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nabc")}) {
    RawPeer peer("127.0.0.1:" + std::to_string(port));
    static_cast<void>(peer.Send(request));
    EXPECT_TRUE(peer.ClosedWithin(std::chrono::milliseconds(15'000))) << request.substr(0, 40);
  }
  EXPECT_EQ(HttpGet(port, "/healthz").status, 200);
}

// Whoever connects may send what it likes; the log must not grow with it.
TEST_F(BadInputTest, NoiseDoesNotReachTheLog) {
  const std::size_t before = daemon().Log().size();
  v1::Request hello = RawPeer::Hello();
  std::string frame = RawPeer::Framed(hello);
  const std::size_t at = frame.find("raw");
  frame.replace(at, 3, "\xff\xfe\xfd");  // A string that is no UTF-8.
  for (int i = 0; i < 100; ++i) {
    RawPeer peer(daemon().UnixEndpoint());
    ASSERT_TRUE(peer.Send(frame));
    ExpectAnswer(peer, ErrorCode::kCorrupt, "no valid message");
  }
  EXPECT_LE(daemon().Log().size(), before + 1000) << daemon().Log();
}

}  // namespace
}  // namespace cairn::test

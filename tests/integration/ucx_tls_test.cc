// UCX with a control connection by TLS: OpenSSL reads ahead, so that an answer may be there that no
// poll of the socket tells of. And who may come by it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "libcache/connector/cairn.h"
#include "libcache/transport/data_plane.h"
#include "tests/integration/tls_fixture.h"
#include "tests/integration/ucx_fixture.h"

namespace cairn::test {
namespace {

class UcxTlsTest : public TlsDaemonTest {
 protected:
  void SetUp() override { SkipWithoutUcx(); }
  bool StartUcx(std::vector<std::string> more = {kTenants}) {
    const std::vector<std::string> ucx = UcxFlags();
    more.insert(more.end(), ucx.begin(), ucx.end());
    return StartTls(std::move(more), "256MiB");
  }
  [[nodiscard]] ClientOptions OptionsOn(PlaneChoice plane, const TlsClientOptions& tls) {
    ClientOptions options = OptionsFor(tls);
    options.plane = plane;
    return options;
  }
};

TEST_F(UcxTlsTest, AutoTakesUcxAndNoTransferIsLost) {
  ASSERT_TRUE(StartUcx());
  constexpr std::uint64_t kState = 9 * kMiB + 5;  // Stretches and slots in flight all the time.
  Engine engine(OptionsOn(PlaneChoice::kAuto, Acme()), StatesOf(kState));
  ASSERT_TRUE(engine.Open());
  EXPECT_EQ(engine.client().PlaneName(), "ucx");
  for (std::uint64_t id = 1; id <= 10; ++id) {
    const auto stored = engine.Store(Tokens(id, 3), {2});
    ASSERT_TRUE(stored.has_value()) << Why(stored) << " object " << id;
    ASSERT_EQ(stored->written, 3U);
    for (int turn = 0; turn < 5; ++turn) {
      const auto hit = engine.Load(Tokens(id, 3));
      ASSERT_TRUE(hit.has_value()) << Why(hit) << " object " << id;
      EXPECT_EQ(hit->bytes, kState + 2);
      EXPECT_EQ(hit->wrong, 0U);
    }
  }
  EXPECT_EQ(engine.client().PlaneName(), "ucx");
  EXPECT_EQ(daemon().Counter("ucx_peers_lost"), 0U);
}

TEST_F(UcxTlsTest, SeveralEnginesAtOnce) {
  ASSERT_TRUE(StartUcx());
  const TlsClientOptions acme = Acme();
  std::vector<std::jthread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const std::uint64_t size = 3 * kMiB + thread;
      Engine engine(OptionsOn(PlaneChoice::kUcx, acme), StatesOf(size));
      ASSERT_TRUE(engine.Open());
      for (std::uint64_t id = 1; id <= 8; ++id) {
        const auto stored = engine.Store(Tokens(id, 3), {2});
        ASSERT_TRUE(stored.has_value()) << Why(stored);
        const auto hit = engine.Load(Tokens(id, 3));
        ASSERT_TRUE(hit.has_value()) << Why(hit);
        EXPECT_EQ(hit->bytes, size + 2);
        EXPECT_EQ(hit->wrong, 0U);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(daemon().Counter("ucx_peers_lost"), 0U);
}

TEST_F(UcxTlsTest, TheCInterfaceSaysSo) {
  ASSERT_TRUE(StartUcx());
  const TlsClientOptions tls = Acme();
  const auto plane = [&tls](const std::string& endpoint, int wanted) {
    cairn_client_options options;
    CAIRN_INIT(options);
    options.endpoint = endpoint.c_str();
    options.plane = wanted;
    options.tls_ca = tls.ca.c_str();
    options.tls_cert = tls.certificate.c_str();
    options.tls_key = tls.key.c_str();
    cairn_client* client = nullptr;
    EXPECT_EQ(cairn_client_open(&options, &client), CAIRN_OK) << cairn_last_error();
    EXPECT_EQ(cairn_client_connect(client, 10'000), CAIRN_OK) << cairn_last_error();
    const std::string name = cairn_client_plane(client);
    cairn_client_close(client);
    return name;
  };
  EXPECT_EQ(plane(daemon().TcpEndpoint(), CAIRN_PLANE_UCX), "ucx");
  EXPECT_EQ(plane(daemon().TcpEndpoint(), CAIRN_PLANE_AUTO), "ucx");
  EXPECT_EQ(plane(daemon().UnixEndpoint(), CAIRN_PLANE_UCX), "ucx");
  EXPECT_EQ(plane(daemon().UnixEndpoint(), CAIRN_PLANE_AUTO), "shm");
  EXPECT_EQ(plane(daemon().TcpEndpoint(), CAIRN_PLANE_STREAM), "stream");
}

// Whom UCX is for takes more than a certificate of the CA: the operator has named him.
TEST_F(UcxTlsTest, IsForTenantsThatTheMapNames) {
  ASSERT_TRUE(StartUcx({kTenants, "--tls-admins=spiffe://c/admin,spiffe://c/ns/acme/sa/boss"}));
  const auto offered = [this](const TlsClientOptions& tls) {
    const auto channel = Open(tls);
    EXPECT_TRUE(channel.has_value()) << Why(channel);
    const auto& planes = channel->hello().planes();
    return std::count(planes.begin(), planes.end(), v1::PLANE_UCX) == 1;
  };
  EXPECT_TRUE(offered(Acme()));
  EXPECT_TRUE(offered(ca_.Client("boss", {"spiffe://c/ns/acme/sa/boss"})));
  const TlsClientOptions admin = ca_.Client("admin", {"spiffe://c/admin"});
  EXPECT_FALSE(offered(admin)) << "who may administer is no engine";
  auto channel = Open(admin);
  ASSERT_TRUE(channel.has_value()) << Why(channel);
  v1::Request attach;
  attach.mutable_attach_ucx();
  const auto refused = channel->Call(attach, Soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_NE(refused.error().message.find("--tls-tenants"), std::string::npos)
      << refused.error().message;
}

TEST_F(UcxTlsTest, WithoutAMapItIsForNobodyByTls) {
  ASSERT_TRUE(StartUcx({}));
  Engine any(OptionsOn(PlaneChoice::kAuto, ca_.Client("any", {"any.example"})), SmallModel());
  ASSERT_TRUE(any.Open());
  EXPECT_EQ(any.client().PlaneName(), "stream");
  EXPECT_NE(daemon().Log().find("--tls-tenants"), std::string::npos) << "the operator is told";
  Engine local(daemon().UnixEndpoint(), PlaneChoice::kUcx);
  ASSERT_TRUE(local.Open()) << "the daemon's own user needs no certificate";
}

/// Over tcp a transfer needs both ends: one that waits for anything else meanwhile is given up.
class UcxPostedTest : public UcxTlsTest, public ::testing::WithParamInterface<bool> {};

TEST_P(UcxPostedTest, AnswersThatNobodyWaitsForHoldNoTransferUp) {
  constexpr std::uint64_t kState = 5 * kMiB;
  // Read when UCX is opened, by no other thread yet.
  setenv("CAIRN_UCX_ALLOW_INSECURE_TCP", "true", 1);
  setenv("UCX_NET_DEVICES", "lo", 1);
  std::vector<std::string> flags = {"--ucx=on", "--ucx-tls=tcp,self",
                                    "--ucx-allow-insecure-tcp=true"};
  if (GetParam()) {
    flags.emplace_back(kTenants);
    const std::vector<std::string> tls = TlsFlags();
    flags.insert(flags.end(), tls.begin(), tls.end());
  }
  ASSERT_TRUE(
      StartDaemon({.flags = flags, .variables = {{"UCX_NET_DEVICES", "lo"}}, .memory = "192MiB"}));
  const std::string endpoint = GetParam() ? daemon().TcpEndpoint() : daemon().UnixEndpoint();
  const TlsClientOptions tls = GetParam() ? Acme() : TlsClientOptions();
  const NamespaceSpec spec = StatesOf(kState);
  OpenedChannel opened = OpenedChannel::To(endpoint, spec, tls);
  ClientOptions options;
  options.endpoint = endpoint;
  options.plane = PlaneChoice::kStream;
  options.tls = tls;
  Engine engine(options, spec);
  ASSERT_TRUE(engine.Open());
  ASSERT_TRUE(engine.Store(Tokens(1, 3), {2}));
  const auto prompt = engine.Prompt(Tokens(1, 3));
  auto request = MatchRequest(opened.space, prompt.keys, 3);
  request.mutable_match()->set_want_objects(16);
  const auto reply = opened.Call(request);
  ASSERT_TRUE(reply.has_value()) << Why(reply);
  const v1::ObjectRef& ref = reply->match().objects(reply->match().objects_size() - 1);
  ASSERT_EQ(ref.bytes(), kState);
  const PlaneObject object{.lease = reply->match().lease_id(),
                           .index = ref.index(),
                           .bytes = ref.bytes(),
                           .digest = {.low = ref.digest_low(), .high = ref.digest_high()}};
  const auto plane = OpenUcxPlane(opened.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  std::vector<std::byte> memory(kState);
  const std::span<std::byte> target(memory);
  for (int turn = 0; turn < 20; ++turn) {
    for (int i = 0; i < 20; ++i) {
      v1::Request release;
      release.mutable_release()->set_lease_id(123'456);  // Of nobody: an error, which nobody hears.
      ASSERT_TRUE(opened.channel.Post(release, Soon()));
    }
    std::fill(memory.begin(), memory.end(), std::byte{0});
    const Status got = (*plane)->Get(object, std::span(&target, 1), Soon());
    ASSERT_TRUE(got.has_value()) << Why(got) << " turn " << turn;
    ASSERT_EQ(memory, PayloadOf(prompt.keys[1], ObjectKind::kCheckpoint, kState));
  }
  EXPECT_EQ(daemon().Counter("ucx_peers_lost"), 0U);
}

INSTANTIATE_TEST_SUITE_P(Channels, UcxPostedTest, ::testing::Bool(),
                         [](const auto& tls) { return tls.param ? "tls" : "unix"; });

}  // namespace
}  // namespace cairn::test

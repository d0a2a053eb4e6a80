// TLS with certificates on both sides: who gets in, in whose name, and what is said to those who do
// not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <thread>

#include "libcache/connector/cairn.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/tls_fixture.h"

namespace cairn::test {
namespace {

class TlsTest : public TlsDaemonTest {};

TEST_F(TlsTest, TenantsOfCertificatesShareNothing) {
  ASSERT_TRUE(StartTls());
  const auto tokens = Tokens(1, 40);
  {
    Engine acme(OptionsFor(Acme()), SmallModel());
    ASSERT_TRUE(acme.Open());
    ASSERT_TRUE(acme.Store(tokens, {32}));
    EXPECT_EQ(acme.client().PlaneName(), "stream");
    Engine globex(OptionsFor(Globex()), SmallModel());
    ASSERT_TRUE(globex.Open());
    const auto miss = globex.Load(tokens);
    ASSERT_TRUE(miss.has_value()) << Why(miss);
    EXPECT_EQ(miss->resume_at, 0U);
    Engine colleague(OptionsFor(Acme()), SmallModel());
    ASSERT_TRUE(colleague.Open());
    const auto hit = colleague.Load(tokens);
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 32U);
    EXPECT_EQ(hit->wrong, 0U);
  }
  std::set<std::string> tenants;
  const v1::StatusReply status = daemon().Status();
  for (const auto& space : status.namespaces()) {
    tenants.insert(space.tenant());
  }
  EXPECT_EQ(tenants, (std::set<std::string>{"acme", "globex"}));
}

// Each daemon of a list is asked with the same certificate.
TEST_F(TlsTest, AListOfDaemons) {
  ASSERT_TRUE(StartTls());
  ClientOptions options = OptionsFor(Acme());
  options.endpoint = "here=" + daemon().TcpEndpoint() + ",gone=127.0.0.1:1";
  options.breaker_failures = 1;
  Engine engine(options, SmallModel());
  ASSERT_TRUE(engine.Open());
  for (std::uint64_t id = 1; id <= 4; ++id) {  // Some of them would belong to the one that is gone.
    ASSERT_TRUE(engine.Store(Tokens(id, 40), {32}));
    const auto hit = engine.Load(Tokens(id, 40));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 32U);
    EXPECT_EQ(hit->wrong, 0U);
  }
  EXPECT_EQ(engine.client().PlaneName(), "stream");
}

// Objects of several records, and larger than any buffer on the way.
TEST_F(TlsTest, LargeObjectsComeThroughWhole) {
  ASSERT_TRUE(StartTls());
  NamespaceSpec spec = SmallModel();
  spec.checkpoint_bytes = 9 * kMiB + 123;
  Engine engine(OptionsFor(Acme()), spec);
  ASSERT_TRUE(engine.Open());
  for (std::uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(engine.Store(Tokens(id, 40), {32}));
    const auto hit = engine.Load(Tokens(id, 40));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 32U);
    EXPECT_EQ(hit->wrong, 0U);
  }
}

TEST_F(TlsTest, TheTenantIsTheCertificatesAndNoOther) {
  ASSERT_TRUE(StartTls());
  auto channel = Open(Acme());
  ASSERT_TRUE(channel.has_value()) << Why(channel);
  NamespaceSpec spec = SmallModel();
  const auto open = [&](const std::string& tenant) {
    spec.tenant = tenant;
    v1::Request request = OpenRequest(spec);
    return channel->Call(request, Soon());
  };
  const auto own = open("acme");
  ASSERT_TRUE(own.has_value()) << Why(own);
  for (const char* const unsaid : {"", "default"}) {
    const auto same = open(unsaid);
    ASSERT_TRUE(same.has_value()) << Why(same);
    EXPECT_EQ(same->open_namespace().seed(), own->open_namespace().seed());
  }
  const auto other = open("globex");
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, ErrorCode::kPermissionDenied);
  EXPECT_NE(other.error().message.find("'acme'"), std::string::npos) << other.error().message;
}

TEST_F(TlsTest, WithoutAMapAllAreTheDefaultTenant) {
  ASSERT_TRUE(StartTls({}));
  auto channel = Open(ca_.Client("any", {"any.example"}));
  ASSERT_TRUE(channel.has_value()) << Why(channel);
  NamespaceSpec spec = SmallModel();
  spec.tenant = "acme";
  v1::Request request = OpenRequest(spec);
  const auto refused = channel->Call(request, Soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  spec.tenant = "default";
  request = OpenRequest(spec);
  EXPECT_TRUE(channel->Call(request, Soon()));
}

TEST_F(TlsTest, WhoIsNotLetInIsToldWhy) {
  ASSERT_TRUE(StartTls());
  ASSERT_TRUE(Connect(Acme()));
  ExpectRefused({}, {"speaks TLS", "--tls-cert", "CAIRN_TLS_CERT"});
  ExpectRefused(ca_.Client("stranger", {"spiffe://c/ns/initech/sa/x"}),
                {"spiffe://c/ns/initech/sa/x", "no tenant", "--tls-tenants"});
  ExpectRefused(ca_.Client("nobody", {"10.0.0.1"}), {"names nobody"});
  const TestCa other(dir_, "other");
  ExpectRefused(other.Client("spy", {"spiffe://c/ns/acme/x"}), {"--tls-ca"});
  TlsClientOptions spy = other.Client("spy", {"spiffe://c/ns/acme/x"});
  spy.ca = ca_.path();
  ExpectRefused(spy, {"does not know the CA"});
  TlsClientOptions elsewhere = Acme();
  elsewhere.server = "other.example";
  ExpectRefused(elsewhere, {"not for 'other.example'", "127.0.0.1", "--tls-server"});
  elsewhere.server = "spiffe://c/daemon";
  EXPECT_TRUE(Connect(elsewhere));
  TlsClientOptions half = Acme();
  half.key.clear();
  ExpectRefused(half, {"--tls-key", "missing"});
  half.key = dir_ / "no.key";
  ExpectRefused(half, {"no.key"});
  ExpectRefused(ca_.Client("late", {"spiffe://c/ns/acme/x"}, {.from_s = -60, .to_s = -1}),
                {"late.crt", "expired"});
  EXPECT_EQ(Handshakes("plain_text"), 1);
  EXPECT_EQ(Handshakes("identity"), 2);
  EXPECT_GE(Handshakes("certificate"), 2);
}

TEST_F(TlsTest, CertificatesThatTheirOwnersDoNotCheckAreRefused) {
  ASSERT_TRUE(StartTls());
  const std::vector<std::string> name = {"spiffe://c/ns/acme/x"};
  EXPECT_EQ(RawTls(ca_.Issue("good", name)), "");
  EXPECT_NE(RawTls(ca_.Issue("old", name, {.from_s = -60, .to_s = -1})).find("expired"),
            std::string::npos);
  EXPECT_NE(RawTls(ca_.Issue("new", name, {.from_s = 3600, .to_s = 7200})), "");
  EXPECT_NE(RawTls(ca_.Issue("self", name, {.self_signed = true})), "");
  EXPECT_NE(RawTls(TestCa(dir_, "other").Issue("other-engine", name)), "");
  EXPECT_NE(RawTls({}).find("certificate required"), std::string::npos);
  EXPECT_NE(RawTls(ca_.Issue("good", name), TLS1_2_VERSION), "");
  EXPECT_EQ(Handshakes("certificate"), 5);
  EXPECT_EQ(Handshakes("protocol"), 1);
  EXPECT_TRUE(Connect(Acme()));
}

TEST_F(TlsTest, TlsToAPortWithoutIsToldApart) {
  ASSERT_TRUE(StartDaemon());
  ExpectRefused(Acme(), {"no TLS at this port", "--tls-cert"});
}

TEST_F(TlsTest, ATokenIsGoodForItsOwnIdentityOnly) {
  ASSERT_TRUE(StartTls());
  auto control = Open(Acme());
  ASSERT_TRUE(control.has_value()) << Why(control);
  const std::string token = control->hello().session_token();
  const auto thief = Open(Globex(), v1::ROLE_DATA, token);
  ASSERT_FALSE(thief.has_value());
  EXPECT_EQ(thief.error().code, ErrorCode::kPermissionDenied);
  const auto colleague =
      Open(ca_.Client("colleague", {"spiffe://c/ns/acme/sa/other"}), v1::ROLE_DATA, token);
  EXPECT_FALSE(colleague.has_value()) << "not even of the same tenant";
  Channel::Greeting local;
  local.role = v1::ROLE_DATA;
  local.session_token = token;
  EXPECT_FALSE(Channel::Open(*ParseEndpoint(daemon().UnixEndpoint()), local, Soon()));
  EXPECT_TRUE(Open(Acme(), v1::ROLE_DATA, token));
  auto unix_control = Channel::Open(*ParseEndpoint(daemon().UnixEndpoint()), {}, Soon());
  ASSERT_TRUE(unix_control.has_value());
  EXPECT_FALSE(Open(Acme(), v1::ROLE_DATA, unix_control->hello().session_token()));
}

TEST_F(TlsTest, AdministratorsAreThoseWhoAreNamed) {
  ASSERT_TRUE(StartTls({kTenants, "--tls-admins=spiffe://c/admin"}));
  Cairnctl ctl(dir_, daemon().TcpEndpoint());
  const auto run = [&](const TlsClientOptions& tls, const std::string& command) {
    return ctl({"--tls-ca", tls.ca, "--tls-cert", tls.certificate, "--tls-key", tls.key, command});
  };
  const TlsClientOptions admin = ca_.Client("admin", {"spiffe://c/admin"});
  const Ran status = run(admin, "status");
  EXPECT_EQ(status.code, 0) << status.err;
  EXPECT_NE(status.out.find("serving"), std::string::npos) << status.out;
  const Ran denied = run(Acme(), "status");
  EXPECT_EQ(denied.code, 1);
  EXPECT_NE(denied.err.find("--tls-admins"), std::string::npos) << denied.err;
  auto channel = Open(admin);
  ASSERT_TRUE(channel.has_value()) << Why(channel);
  v1::Request request = OpenRequest(SmallModel());
  const auto tenant = channel->Call(request, Soon());
  ASSERT_FALSE(tenant.has_value()) << "an administrator is no tenant";
  EXPECT_EQ(tenant.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(TlsTest, HttpIsHttpsForAnyCertificateOfTheCa) {
  ASSERT_TRUE(StartTls());
  EXPECT_EQ(HttpsGet(Acme(), "/healthz").status, 200);
  EXPECT_EQ(HttpsGet(ca_.Client("scraper", {"prometheus.example"}), "/metrics").status, 200);
  EXPECT_EQ(HttpsGet(TestCa(dir_, "other").Client("spy", {"a.example"}), "/metrics").status, 0);
  EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 400) << "plain text";
  EXPECT_EQ(HttpsGet(Acme(), "/readyz").status, 200);
}

TEST_F(TlsTest, NewCertificatesCountAndBadOnesDoNot) {
  ASSERT_TRUE(StartTls());
  Engine engine(OptionsFor(Acme()), SmallModel());
  ASSERT_TRUE(engine.Open());
  const auto identity_becomes = [this](const std::string& name) {
    TlsClientOptions tls = Acme();
    tls.server = name;
    for (int i = 0; i < 400; ++i) {
      if (Connect(tls)) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    return false;
  };
  ca_.Issue("daemon", {"localhost", "127.0.0.1", "second.example"});
  EXPECT_TRUE(identity_becomes("second.example"));
  // Who was there before goes on.
  ASSERT_TRUE(engine.Store(Tokens(1, 40), {32}));
  const auto hit = engine.Load(Tokens(1, 40));
  EXPECT_TRUE(hit && hit->resume_at == 32 && hit->wrong == 0) << Why(hit);

  WriteFile(server_.certificate, "-----BEGIN CERTIFICATE-----\nnonsense\n");
  for (int i = 0; i < 400 && daemon().Log().find("tls_not_reloaded") == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_NE(daemon().Log().find("tls_not_reloaded"), std::string::npos);
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  EXPECT_TRUE(Connect(Acme())) << "with the one there was";
  auto metrics = Metrics();
  // A renewal seen between its two files may be one more.
  EXPECT_GE(metrics["cairn_tls_reloads_total{result=\"failed\"}"], 1);
  EXPECT_LE(metrics["cairn_tls_reloads_total{result=\"failed\"}"], 2) << "told once";
  EXPECT_GE(metrics["cairn_tls_reloads_total{result=\"ok\"}"], 1);
  EXPECT_NEAR(metrics["cairn_tls_certificate_expiry_timestamp_seconds"],
              static_cast<double>(UnixNow() + 86'400), 120);
  EXPECT_NEAR(metrics["cairn_tls_certificate_not_before_timestamp_seconds"],
              static_cast<double>(UnixNow() - 3600), 120);

  ca_.Issue("daemon", {"localhost", "127.0.0.1", "third.example"});
  EXPECT_TRUE(identity_becomes("third.example"));
}

// An engine whose certificate is renewed connects with the new one, without being told.
TEST_F(TlsTest, ClientsTakeUpNewCertificates) {
  ASSERT_TRUE(StartTls());
  auto options = OptionsFor(ca_.Client("engine", {"spiffe://c/ns/acme/1"}));
  Engine engine(options, SmallModel());
  ASSERT_TRUE(engine.Open());
  ca_.Issue("engine", {"spiffe://c/ns/initech/1"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  ASSERT_TRUE(engine.Store(Tokens(1, 40), {32})) << "the connection there is stays";
  daemon().Kill();
  ASSERT_TRUE(daemon().Start());
  options.endpoint = daemon().TcpEndpoint();
  Engine again(options, SmallModel());
  const Status refused = again.Open();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(TlsTest, TheCInterfaceHasItToo) {
  ASSERT_TRUE(StartTls());
  const TlsClientOptions tls = Acme();
  const std::string endpoint = daemon().TcpEndpoint();
  cairn_client_options options;
  CAIRN_INIT(options);
  options.endpoint = endpoint.c_str();
  options.tls_ca = tls.ca.c_str();
  options.tls_cert = tls.certificate.c_str();
  options.tls_key = tls.key.c_str();
  const auto connect = [&options] {
    cairn_client* client = nullptr;
    EXPECT_EQ(cairn_client_open(&options, &client), CAIRN_OK) << cairn_last_error();
    const cairn_code code = cairn_client_connect(client, 10'000);
    cairn_client_close(client);
    return code;
  };
  EXPECT_EQ(connect(), CAIRN_OK) << cairn_last_error();
  options.tls_server = "spiffe://c/daemon";
  EXPECT_EQ(connect(), CAIRN_OK) << cairn_last_error();
  options.tls_server = "other.example";
  EXPECT_EQ(connect(), CAIRN_UNAVAILABLE);
  EXPECT_NE(std::string(cairn_last_error()).find("other.example"), std::string::npos);
  options.tls_key = nullptr;
  EXPECT_EQ(connect(), CAIRN_INVALID_ARGUMENT);
  // A program that was compiled before there was TLS.
  options.struct_size = offsetof(cairn_client_options, tls_ca);
  EXPECT_EQ(connect(), CAIRN_PERMISSION_DENIED);
  EXPECT_NE(std::string(cairn_last_error()).find("speaks TLS"), std::string::npos);
}

TEST_F(TlsTest, ARefusalNamesThePeerAndTheReason) {
  ASSERT_TRUE(StartTls());
  ExpectRefused({}, {"speaks TLS"});
  const std::string log = daemon().Log();
  EXPECT_NE(log.find("tls_refused result=plain_text peer=127.0.0.1:"), std::string::npos) << log;
  EXPECT_NE(log.find("reason=\"it speaks plain text"), std::string::npos) << log;
}

TEST_F(TlsTest, PlainHttpIsToldThatThePortSpeaksTls) {
  ASSERT_TRUE(StartTls());
  const HttpReply reply = HttpGet(daemon().http_port(), "/healthz");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("speaks TLS"), std::string::npos) << reply.body;
}

// In the log when it comes near and when it is there; and whoever connects then is not sent to look
// at the CA.
TEST_F(TlsTest, TheEndOfACertificateIsToldBeforeAndAfter) {
  const auto start = [this](std::int64_t to_s) {
    const TlsFiles files = ca_.Issue("daemon", {"127.0.0.1"}, {.from_s = -60'000, .to_s = to_s});
    return StartDaemon({.flags = {"--tls-cert=" + files.certificate, "--tls-key=" + files.key,
                                  "--tls-ca=" + files.ca},
                        .variables = {}});
  };
  const auto logged = [this](const char* event) {
    return daemon().Log().find(event) != std::string::npos;
  };
  ASSERT_TRUE(start(50'000));
  EXPECT_FALSE(logged("tls_expires_soon")) << "more than a sixth is left";
  daemon().Stop();
  ASSERT_TRUE(start(kSanitized ? 20 : 6));
  EXPECT_TRUE(logged("tls_expires_soon")) << daemon().Log();
  for (int i = 0; i < 600 && !logged("tls_expired"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(logged("tls_expired")) << daemon().Log();
  ExpectRefused(Acme(), {"expired", "renew the daemon's certificate"});
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  EXPECT_NE(ctl({"status"}).out.find("EXPIRED"), std::string::npos);
}

// The variables of an engine's shell are read by a daemon that is started there, too.
TEST_F(TlsTest, ACertificateByVariableIsTold) {
  const TlsFiles files = ca_.Issue("daemon", {"127.0.0.1"});
  ASSERT_TRUE(StartDaemon({.flags = {},
                           .variables = {{"CAIRN_TLS_CERT", files.certificate},
                                         {"CAIRN_TLS_KEY", files.key},
                                         {"CAIRN_TLS_CA", files.ca}}}));
  EXPECT_NE(daemon().Log().find("tls_by_variable name=CAIRN_TLS_CERT"), std::string::npos);
  daemon().Stop();
  ASSERT_TRUE(StartTls());
  EXPECT_EQ(daemon().Log().find("tls_by_variable"), std::string::npos);
}

TEST_F(TlsTest, CertDevIsEnoughToBegin) {
  Cairnctl ctl(dir_, "");
  const std::string dir = dir_ / "certs";
  const std::vector<std::string> command = {"cert",      "dev",      "--out", dir,     "--name",
                                            "127.0.0.1", "--tenant", "acme",  "--json"};
  const auto made = ctl(command).Json();
  ASSERT_TRUE(made.is_object());
  const Ran again = ctl(command);
  EXPECT_EQ(again.code, 1);
  EXPECT_NE(again.err.find("--force"), std::string::npos) << again.err;
  EXPECT_EQ(made["files"][0], dir + "/ca.crt");
  const Ran beta = ctl({"cert", "dev", "--ca", dir, "--out", dir_ / "beta", "--tenant", "beta",
                        "--name", "cache.example, 127.0.0.1"});
  EXPECT_EQ(beta.code, 0) << beta.err;
  EXPECT_NE(beta.out.find("CAIRN_CONNECT=cache.example:7411"), std::string::npos) << beta.out;
  EXPECT_EQ(ctl({"cert", "dev", "--out", dir_ / "none", "--name", ""}).code, 1);
  const auto shown = ctl({"cert", "show", dir + "/engine.crt", "--json"}).Json();
  EXPECT_EQ(shown["certificates"][0]["identity"], made["engine_identity"]);
  const Ran text = ctl({"cert", "show", dir + "/ca.crt"});
  EXPECT_NE(text.out.find("CA         yes"), std::string::npos) << text.out << text.err;
  EXPECT_EQ(ctl({"cert", "show", dir + "/ca.key"}).code, 1);
  ASSERT_TRUE(StartDaemon(
      {.flags =
           {"--tls-cert=" + dir + "/daemon.crt", "--tls-key=" + dir + "/daemon.key",
            "--tls-ca=" + dir + "/ca.crt",
            "--tls-tenants=spiffe://cairn.dev/ns/acme/*=acme, spiffe://cairn.dev/ns/beta/*=beta",
            "--tls-admins=spiffe://cairn.dev/admin"},
       .variables = {}}));
  EXPECT_TRUE(Connect({.ca = dir + "/ca.crt",
                       .certificate = dir + "/engine.crt",
                       .key = dir + "/engine.key",
                       .server = ""}));
  EXPECT_TRUE(Connect({.ca = dir_ / "beta/ca.crt",
                       .certificate = dir_ / "beta/engine.crt",
                       .key = dir_ / "beta/engine.key",
                       .server = ""}));
}

}  // namespace
}  // namespace cairn::test

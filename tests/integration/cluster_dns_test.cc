// Daemons that are found by DNS: whom their certificates are for, how many they are, and what is
// said where a name has none.
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "libcache/connector/peers.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/test_ca.h"

namespace cairn::test {
namespace {

constexpr const char* kNobody = "dns:no-such-name.invalid:7411";

class ClusterDnsTest : public DaemonTest {
 protected:
  bool StartFor(const std::string& server) {
    const TlsFiles files = ca_.Issue("daemon", {server});
    return StartDaemon({.flags = {"--tls-cert=" + files.certificate, "--tls-key=" + files.key,
                                  "--tls-ca=" + files.ca, "--tls-admins=spiffe://c/admin"},
                        .variables = {}});
  }
  [[nodiscard]] std::string Localhost() {
    return "dns:localhost:" + std::to_string(daemon().tcp_port());
  }
  ClientOptions Options() {
    ClientOptions options;
    options.endpoint = Localhost();
    options.tls = ca_.Client("engine", {"spiffe://c/engine"});
    return options;
  }
  Ran Ctl(std::vector<std::string> args) {
    const TlsFiles admin = ca_.Issue("admin", {"spiffe://c/admin"});
    args.insert(args.end(),
                {"--tls-ca", admin.ca, "--tls-cert", admin.certificate, "--tls-key", admin.key});
    return Cairnctl(dir_, Localhost())(args);
  }

  TestCa ca_{dir_};
};

// An address is what DNS said; the certificate of a headless service's daemon has the name alone.
TEST_F(ClusterDnsTest, CertificatesAreForTheNameThatWasAsked) {
  ASSERT_TRUE(StartFor("localhost"));
  {
    Engine engine(Options(), SmallModel());
    const Status opened = engine.Open();
    ASSERT_TRUE(opened.has_value()) << Why(opened);
    ASSERT_TRUE(engine.Store(Tokens(1, 40), {32}));
    const auto hit = engine.Load(Tokens(1, 40));
    EXPECT_TRUE(hit && hit->resume_at == 32 && hit->wrong == 0) << Why(hit);
    // A machine with IPv6 has two addresses for this name.
    EXPECT_EQ(engine.client().Members().size(), 1U);
  }
  const Ran all = Ctl({"status", "--json"});
  ASSERT_EQ(all.code, 0) << all.err;
  ASSERT_EQ(all.Json().at("members").size(), 1U);
  EXPECT_TRUE(all.Json().at("members")[0].at("status").at("members_problem").is_null());
  const std::string name = all.Json().at("members")[0].at("name").get<std::string>();
  const Ran one = Ctl({"config", "--member", name});
  EXPECT_EQ(one.code, 0) << one.err;
}

TEST_F(ClusterDnsTest, AnotherNameIsRefused) {
  ASSERT_TRUE(StartFor("other.example"));
  Engine engine(Options(), SmallModel());
  const Status opened = engine.Open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("localhost"), std::string::npos) << Why(opened);
}

TEST_F(ClusterDnsTest, ADaemonSaysThatItsNameAnswersNothing) {
  ASSERT_TRUE(StartDaemon({.flags = {std::string("--members=") + kNobody}, .variables = {}}));
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  const Ran members = ctl({"members"});
  EXPECT_EQ(members.code, 1);
  EXPECT_NE(members.err.find("no-such-name.invalid"), std::string::npos) << members.err;
  const auto status = ctl({"status", "--json"}).Json();
  EXPECT_TRUE(status.at("members").empty());
  const std::string problem = status.at("members_problem").get<std::string>();
  EXPECT_NE(problem.find("no-such-name.invalid"), std::string::npos) << problem;
  EXPECT_NE(ctl({"status"}).out.find("no-such-name.invalid"), std::string::npos);
}

TEST_F(ClusterDnsTest, CommandsThatAskNobodyLookNobodyUp) {
  const TlsFiles files = ca_.Issue("some", {"a.example"});
  for (const std::string& cluster : {std::string(kNobody), std::string("a=h:1,b=h:2")}) {
    Cairnctl ctl(dir_, cluster);
    const Ran shown = ctl({"cert", "show", files.certificate});
    EXPECT_EQ(shown.code, 0) << shown.err;
    EXPECT_NE(shown.out.find("a.example"), std::string::npos) << shown.out;
    EXPECT_EQ(ctl({"completion", "bash"}).code, 0);
    EXPECT_EQ(ctl({"cert", "dev", "--force", "--out", dir_ / "certs"}).code, 0);
    const Ran version = ctl({"version"});
    EXPECT_EQ(version.code, 0) << version.err;
    EXPECT_NE(version.out.find("--member"), std::string::npos) << version.out;
    const auto json = ctl({"version", "--json"}).Json();
    EXPECT_TRUE(json.at("cairnd").is_null());
    EXPECT_EQ(json.at("endpoint"), cluster);
    const Ran drain = ctl({"drain"});
    EXPECT_NE(drain.code, 0) << "which one?";
  }
}

TEST_F(ClusterDnsTest, CheckingATextStartsNothing) {
  const auto threads = [] {
    const std::filesystem::directory_iterator all("/proc/self/task");
    return std::distance(begin(all), end(all));
  };
  const auto before = threads();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(CheckEndpoints(kNobody).has_value());
  }
  EXPECT_EQ(threads(), before);
}

}  // namespace
}  // namespace cairn::test

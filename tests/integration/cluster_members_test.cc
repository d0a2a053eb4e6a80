// cairnctl of several daemons: who is there, who refuses, and whom one is talking to.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "libcache/base/unique_fd.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/tls_fixture.h"

namespace cairn::test {
namespace {

using nlohmann::json;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A TCP port of loopback at which somebody takes connections and says nothing.
class SilentPort {
 public:
  SilentPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(fd_.get(), generic, size), 0);
    EXPECT_EQ(listen(fd_.get(), 8), 0);
    EXPECT_EQ(getsockname(fd_.get(), generic, &size), 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

 private:
  UniqueFd fd_;
  std::string endpoint_;
};

/// A port that was free a moment ago.
std::string FreePort() { return SilentPort().endpoint(); }

class MembersTest : public TlsDaemonTest {
 protected:
  /// A daemon with TLS at an address that is known before it starts.
  bool StartAt(const std::string& address, std::vector<std::string> flags) {
    server_ = ca_.Issue("daemon", {"127.0.0.1"});
    flags.insert(flags.end(), {"--tls-cert=" + server_.certificate, "--tls-key=" + server_.key,
                               "--tls-ca=" + server_.ca});
    return StartDaemon({.flags = std::move(flags), .variables = {}, .tcp_address = address});
  }
};

// What the daemons of a StatefulSet are told: TCP addresses, which cairnctl in the pod has no
// certificate for.
TEST_F(MembersTest, TheDaemonOneTalksToIsAskedByThatConnection) {
  const std::string own = FreePort();
  ASSERT_TRUE(StartAt(own, {kTenants, "--members=p=" + own + ",q=" + FreePort()}));
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  const Ran ran = ctl({"members", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json members = ran.Json().at("members");
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[0].at("state"), "serving");
  EXPECT_EQ(members[0].at("endpoint"), own);
  EXPECT_EQ(members[0].at("status").at("member_self"), "p");
  EXPECT_EQ(members[1].at("state"), "no answer");
}

// What kubectl exec has in a pod: one daemon's socket, and the daemons' own certificate.
TEST_F(MembersTest, OneOfThoseThatADaemonKnowsCanBeChosen) {
  const std::string own = FreePort();
  const std::string gone = FreePort();
  ASSERT_TRUE(StartAt(own, {kTenants, "--members=p=" + own + ",q=" + gone}));
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  const Ran self = ctl({"status", "--member", "p", "--json"});
  ASSERT_EQ(self.code, 0) << self.err << "by the socket, as no certificate was given";
  EXPECT_EQ(self.Json().at("member_self"), "p");
  const Ran other = ctl({"status", "--member", "q"});
  EXPECT_EQ(other.code, 1);
  EXPECT_TRUE(Contains(other.err, gone)) << other.err;
  const Ran none = ctl({"drain", "--member", "r"});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(Contains(none.err, "there is no 'r'; there are p, q")) << none.err;
  EXPECT_EQ(daemon().Status().state(), "serving");
}

TEST_F(MembersTest, ADaemonAloneIsTheOnlyOneThatCanBeChosen) {
  ASSERT_TRUE(StartTls({kTenants}));
  const Ran ran = Cairnctl(dir_, daemon().UnixEndpoint())({"status", "--member", "p"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_TRUE(Contains(ran.err, "there is no 'p'; there are " + daemon().UnixEndpoint()))
      << ran.err;
}

TEST_F(MembersTest, DrainFromAnotherHostWaitsUntilAllIsWritten) {
  ASSERT_TRUE(StartTls(
      {kTenants, "--tls-admins=spiffe://c/admin", "--ssd=256MiB", "--ssd-path=" + (dir_ / "ssd")}));
  {
    Engine engine(OptionsFor(Acme()), SmallModel());
    ASSERT_TRUE(engine.Open());
    for (std::uint64_t id = 0; id < 200; ++id) {
      ASSERT_TRUE(engine.Store(Tokens(id, 200), {64, 128, 192}));
    }
  }
  const TlsClientOptions admin = ca_.Client("admin", {"spiffe://c/admin"});
  const Ran ran =
      Cairnctl(dir_, daemon().TcpEndpoint())({"drain", "--wait", "--tls-ca", admin.ca, "--tls-cert",
                                              admin.certificate, "--tls-key", admin.key});

  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(Contains(ran.out, "has ended")) << ran.out;
  EXPECT_EQ(daemon().process().WaitExit(std::chrono::seconds(30)), 0) << daemon().Log();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(daemon().Status().tiers(1).checkpoint_objects(), 600U);
}

// Neither silence nor the end of the connection is taken for the end of a drain.
TEST_F(MembersTest, ADrainThatDoesNotSayItIsDoneHasFailed) {
  const TlsClientOptions admin = ca_.Client("admin", {"spiffe://c/admin"});
  for (const bool frozen : {true, false}) {
    ASSERT_TRUE(StartTls({kTenants, "--tls-admins=spiffe://c/admin", "--drain-ms=60000"}));
    Engine engine(OptionsFor(Acme()), SmallModel());
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(1, 100), {64}));
    ASSERT_TRUE(engine.client().Match(engine.Prompt(Tokens(1, 100)), Soon()));
    Cairnctl ctl(dir_, daemon().TcpEndpoint());
    std::filesystem::remove(ctl.Err());  // Of the round before.
    const auto drain = ctl.Start({"drain", "--wait", "--timeout", "1500", "--tls-ca", admin.ca,
                                  "--tls-cert", admin.certificate, "--tls-key", admin.key});
    for (int i = 0; i < 500 && !Contains(ReadFile(ctl.Err()), "1 lease and"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (frozen) {
      daemon().Freeze();
    } else {
      daemon().Kill();
    }
    const Ran ran = ctl.Finish(*drain);
    EXPECT_EQ(ran.code, 1) << ran.out;
    EXPECT_TRUE(Contains(ran.err, "it had not said that everything is written")) << ran.err;
    if (frozen) {
      daemon().Thaw();
      daemon().Kill();
    }
  }
}

TEST_F(MembersTest, OnAllInterfacesItIsTheOneOfItsHostNameOrAddress) {
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  const std::string port = FreePort().substr(std::string("127.0.0.1").size());
  const std::string name = std::string(host.data()) + ".cairn-headless.default.svc" + port;
  ASSERT_TRUE(StartAt("0.0.0.0" + port, {"--members=p=" + name + ",q=other" + name}));
  EXPECT_EQ(daemon().Status().member_self(), "p");
  daemon().Stop();
  ASSERT_TRUE(StartAt("0.0.0.0" + port, {"--members=p=192.0.2.1" + port + ",q=127.0.0.1" + port}));
  EXPECT_EQ(daemon().Status().member_self(), "q");
  daemon().Stop();
  ASSERT_TRUE(StartAt("0.0.0.0" + port, {"--members=p=192.0.2.1" + port}));
  EXPECT_EQ(daemon().Status().member_self(), "") << "it cannot tell";
}

TEST_F(MembersTest, FromAnotherHostOneDaemonIsItsOwnMember) {
  ASSERT_TRUE(StartTls({kTenants, "--tls-admins=spiffe://c/admin"}));
  const TlsClientOptions admin = ca_.Client("admin", {"spiffe://c/admin"});
  Cairnctl ctl(dir_, daemon().TcpEndpoint());
  const std::vector<std::string> tls = {"--tls-ca",        admin.ca,    "--tls-cert",
                                        admin.certificate, "--tls-key", admin.key};
  const auto with = [&tls](std::vector<std::string> args) {
    args.insert(args.end(), tls.begin(), tls.end());
    return args;
  };
  const Ran members = ctl(with({"members"}));
  EXPECT_EQ(members.code, 0) << members.err;
  EXPECT_TRUE(Contains(members.out, "serving")) << members.out;
  const json status = ctl(with({"status", "--json"})).Json();
  EXPECT_EQ(status.at("tls").at("on"), true);
  EXPECT_EQ(status.at("tls").at("identity"), "spiffe://c/daemon");
  EXPECT_GT(status.at("tls").at("expires").get<std::int64_t>(), UnixNow());
  const Ran text = ctl(with({"status"}));
  EXPECT_TRUE(Contains(text.out, "on, as spiffe://c/daemon; good until")) << text.out;
}

TEST_F(MembersTest, WhoRefusesIsToldApartFromWhoIsNotThere) {
  ASSERT_TRUE(StartDaemon());
  const std::string list = "a=" + daemon().UnixEndpoint() + ",b=" + daemon().TcpEndpoint() +
                           ",c=unix:" + (dir_ / "none.sock");
  Cairnctl ctl(dir_, list);
  const Ran shown = ctl({"members"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  const json members = ctl({"members", "--json"}).Json().at("members");
  EXPECT_EQ(members[0].at("state"), "serving");
  EXPECT_EQ(members[0].at("status").at("member_self"), daemon().UnixEndpoint());
  EXPECT_EQ(members[0].at("status").at("tls"),
            (json{{"on", false}, {"identity", ""}, {"expires", nullptr}}));
  EXPECT_EQ(members[1].at("state"), "refuses");
  EXPECT_EQ(members[1].at("error").at("code"), "permission_denied");
  EXPECT_EQ(members[2].at("state"), "no answer");
  EXPECT_FALSE(Contains(members[2].at("error").at("message"), "give --connect"));
  const Ran tiers = ctl({"tiers"});
  EXPECT_TRUE(Contains(tiers.out, "refuses: administration needs")) << tiers.out;

  // Somebody who is there, but is no daemon for us: what he says is not of the daemon's words.
  Cairnctl none(dir_, "a=" + daemon().TcpEndpoint() + ",b=127.0.0.1:" +
                          std::to_string(daemon().http_port()) + ",c=unix:" + (dir_ / "no.sock"));
  const Ran failed = none({"status"});
  EXPECT_EQ(failed.code, 1);
  for (const char* const part : {"none of 3 daemons tells anything", "refuses (a): administration",
                                 "refuses (b): ", "no answer (c): no daemon at"}) {
    EXPECT_TRUE(Contains(failed.err, part)) << part << " in\n" << failed.err;
  }
}

TEST_F(MembersTest, AllAreAskedAtOnce) {
  const std::vector<SilentPort> ports(8);
  std::string list;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    list += (i == 0 ? "m" : ",m") + std::to_string(i) + "=" + ports[i].endpoint();
  }
  Cairnctl ctl(dir_, list);
  const auto began = std::chrono::steady_clock::now();
  const Ran ran = ctl({"status", "--timeout", "3000"});
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15)) << "not 24 s";
  EXPECT_EQ(ran.code, 1);
  EXPECT_TRUE(Contains(ran.err, "waiting for m0, m1, m2, m3, m4, m5, m6, m7\n")) << ran.err;
  EXPECT_TRUE(Contains(ran.err, "none of 8 daemons")) << ran.err;
}

TEST_F(MembersTest, ListsThatMeanSomethingElseAreRefused) {
  for (const auto& [list, word] :
       {std::pair{"a=dns:localhost:7411,b=localhost:7411", "stands alone"},
        {"a b=localhost:7411,c=localhost:7412", "has no spaces"},
        {"a=localhost:7411,localhost:7412", "has no name, but others have"}}) {
    Cairnctl ctl(dir_, list);
    const Ran ran = ctl({"status"});
    EXPECT_EQ(ran.code, 2);
    EXPECT_TRUE(Contains(ran.err, "CAIRN_CONNECT") && Contains(ran.err, word)) << ran.err;
  }
}

}  // namespace
}  // namespace cairn::test

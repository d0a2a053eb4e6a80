// What strangers may do to the ports of a daemon: nothing but take a little of its time. And which
// ports there are.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "libcache/base/bytes.h"
#include "tests/integration/latency.h"
#include "tests/integration/tls_fixture.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

class TlsHostileTest : public TlsDaemonTest {
 protected:
  void ExpectServes() {
    Engine engine(OptionsFor(Acme()), SmallModel());
    // Among hundreds of connections a moment it may be the one that is dropped; then again.
    Status opened = engine.Open();
    for (int i = 0; i < 50 && !opened; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      opened = engine.Open();
    }
    ASSERT_TRUE(opened.has_value()) << Why(opened);
    ASSERT_TRUE(engine.Store(Tokens(5, 40), {32}));
    const auto hit = engine.Load(Tokens(5, 40));
    EXPECT_TRUE(hit && hit->resume_at == 32 && hit->wrong == 0) << Why(hit);
  }
  /// The first bytes that any TLS client says.
  std::string ClientHello() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    TlsClient client(Acme());
    const auto credentials = client.Credentials();
    auto tls = TlsConnection::Client(**credentials, fds[0], "localhost");
    static_cast<void>(tls->Handshake());
    std::string hello(4096, '\0');
    const ssize_t got = read(fds[1], hello.data(), hello.size());
    hello.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    close(fds[0]);
    close(fds[1]);
    return hello;
  }

  /// Ports on which the daemon's own sockets listen.
  std::set<int> ListeningPorts() {
    std::set<std::string> inodes;
    const std::string proc = "/proc/" + std::to_string(daemon().process().pid());
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(proc + "/fd", error)) {
      const std::string target = fs::read_symlink(entry.path(), error).string();
      if (target.starts_with("socket:[")) {
        inodes.insert(target.substr(8, target.size() - 9));
      }
    }
    std::set<int> ports;
    for (const char* const table : {"/net/tcp", "/net/tcp6"}) {
      std::ifstream file(proc + table);
      std::string line;
      std::getline(file, line);
      while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string number;
        std::string local;
        std::string remote;
        std::string state;
        std::string skipped;
        std::string inode;
        words >> number >> local >> remote >> state >> skipped >> skipped >> skipped >> skipped >>
            skipped >> inode;
        if (state == "0A" && inodes.contains(inode)) {
          ports.insert(std::stoi(local.substr(local.rfind(':') + 1), nullptr, 16));
        }
      }
    }
    return ports;
  }
};

TEST_F(TlsHostileTest, APortScanShowsWhatIsConfigured) {
  ASSERT_TRUE(StartTls());
  ExpectServes();
  EXPECT_EQ(ListeningPorts(), (std::set<int>{daemon().tcp_port(), daemon().http_port()}));
}

TEST_F(TlsHostileTest, HalfOpenHandshakesTakeNoMemoryAndShutNobodyOut) {
  ASSERT_TRUE(StartTls({kTenants, "--tls-handshakes=16"}));
  ExpectServes();
  const std::string hello = ClientHello();
  ASSERT_GT(hello.size(), 100U);
  const std::uint64_t before = daemon().Status().rss_bytes();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 500; ++i) {
    peers.push_back(std::make_unique<RawPeer>(daemon().TcpEndpoint()));
    // Some say nothing, some half of what they should, some all and then nothing more.
    const auto halves = static_cast<std::size_t>(i % 3);
    static_cast<void>(peers.back()->Send(hello.substr(0, hello.size() * halves / 2)));
  }
  ExpectServes();
  EXPECT_LE(Metrics()["cairn_tls_handshakes_under_way"], 17) << "16, and the one that asks";
  const std::uint64_t during = daemon().Status().rss_bytes();
  if (!kSanitized) {  // Which keep what was freed, and shadows of it.
    EXPECT_LT(during, before + 8 * kMiB);
  }
  Report("500 half-open handshakes: " + FormatBytes(during > before ? during - before : 0));
  for (const auto& peer : peers) {
    EXPECT_TRUE(peer->ClosedWithin(std::chrono::seconds(kSanitized ? 30 : 8)));
  }
  EXPECT_GE(Handshakes("crowded"), 400);
  EXPECT_GE(Handshakes("timeout"), 1);
}

TEST_F(TlsHostileTest, HalfOpenHandshakesAtThePortOfMetricsEndToo) {
  ASSERT_TRUE(StartTls());
  ExpectServes();
  const std::string hello = ClientHello();
  const std::uint64_t before = daemon().Status().rss_bytes();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 200; ++i) {
    peers.push_back(std::make_unique<RawPeer>("127.0.0.1:" + std::to_string(daemon().http_port())));
    const auto halves = static_cast<std::size_t>(i % 3);
    static_cast<void>(peers.back()->Send(hello.substr(0, hello.size() * halves / 2)));
  }
  EXPECT_GT(Metrics().size(), 50U) << "who comes meanwhile is served";
  const std::uint64_t during = daemon().Status().rss_bytes();
  if (!kSanitized) {
    EXPECT_LT(during, before + 16 * kMiB);
  }
  for (const auto& peer : peers) {
    EXPECT_TRUE(peer->ClosedWithin(std::chrono::seconds(kSanitized ? 30 : 8)));
  }
  EXPECT_GT(Metrics().size(), 50U);
}

TEST_F(TlsHostileTest, GarbageTakesNoMemory) {
  ASSERT_TRUE(StartTls({kTenants, "--tls-handshakes=16"}));
  ExpectServes();
  const std::string hello = ClientHello();
  std::mt19937 random(7);
  const auto wave = [&] {
    for (int i = 0; i < (kSanitized ? 100 : 1500); ++i) {
      RawPeer peer(daemon().TcpEndpoint());
      std::string bytes = hello;
      switch (i % 4) {
        case 0: bytes = "GET / HTTP/1.1\r\n\r\n"; break;
        case 1: bytes = std::string(1 + random() % 500, static_cast<char>(random())); break;
        case 2: bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255); break;
        default: bytes.resize(random() % bytes.size()); break;
      }
      static_cast<void>(peer.Send(bytes));
    }
    for (int i = 0; i < 100; ++i) {
      RawPeer peer("127.0.0.1:" + std::to_string(daemon().http_port()));
      static_cast<void>(peer.Send(i % 2 == 0 ? "GET /metrics HTTP/1.1\r\n\r\n" : hello));
    }
    ExpectServes();
    return daemon().Status().rss_bytes();
  };
  // What is allocated once is there after a while; how many come at once varies by some MiB.
  wave();
  const std::uint64_t before = wave();
  for (int i = 0; i < 3; ++i) {
    wave();
  }
  const std::uint64_t after = wave();
  if (!kSanitized) {
    EXPECT_LT(after, before + 4 * kMiB) << "a KiB of each would be more";
  }
  Report("garbage: " + FormatBytes(after > before ? after - before : 0));
  EXPECT_GT(Handshakes("plain_text"), 0);
  EXPECT_GT(Handshakes("protocol"), 0);
  EXPECT_TRUE(Connect(Acme()));
}

// Those who come with a certificate, and are refused all the same: in the handshake, or by name.
TEST_F(TlsHostileTest, RefusedCertificatesTakeNoMemory) {
  ASSERT_TRUE(StartTls());
  ExpectServes();
  const std::vector<std::string> acme = {"spiffe://c/ns/acme/x"};
  const TestCa other(dir_, "other");
  const TlsFiles wrong_ca = other.Issue("wrong-ca", acme);
  const TlsFiles expired = ca_.Issue("expired", acme, {.from_s = -60, .to_s = -1});
  const TlsFiles stranger = ca_.Issue("stranger", {"spiffe://c/ns/initech/x"});
  const TlsClientOptions engine = Acme();
  v1::Request of_globex = OpenRequest(SmallModel());
  of_globex.mutable_open_namespace()->set_tenant("globex");
  const std::vector<std::pair<const char*, std::function<void()>>> kinds = {
      {"wrong CA", [&] { EXPECT_NE(RawTls(wrong_ca), ""); }},
      {"expired", [&] { EXPECT_NE(RawTls(expired), ""); }},
      {"nobody's", [&] { EXPECT_EQ(RawTls(stranger), "") << "told in answer to Hello"; }},
      {"wrong tenant", [&] {
         auto channel = Open(engine);
         ASSERT_TRUE(channel.has_value()) << Why(channel);
         const auto opened = channel->Call(of_globex, Soon());
         ASSERT_FALSE(opened.has_value());
         EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied);
       }}};
  const int peers = kSanitized ? 20 : 100;
  for (const auto& [kind, come] : kinds) {
    const auto wave = [&, &come = come] {
      for (int i = 0; i < peers; ++i) {
        come();
      }
      return daemon().Status().rss_bytes();
    };
    wave();  // What is allocated once is there after it.
    const std::uint64_t before = wave();
    for (int i = 0; i < 2; ++i) {
      wave();
    }
    const std::uint64_t after = wave();
    if (!kSanitized) {
      EXPECT_LT(after, before + 4 * kMiB) << kind << ": 14 KiB of each would be more";
    }
    Report(std::string(kind) + ": " + FormatBytes(after > before ? after - before : 0));
  }
  const int each = 5 * peers;
  EXPECT_EQ(Handshakes("certificate"), 2 * each);
  EXPECT_EQ(Handshakes("identity"), each);
  ExpectServes();
}

class TlsStartTest : public DaemonTest {
 protected:
  void ExpectFails(std::vector<std::string> args, int code, const std::vector<std::string>& words) {
    args.insert(args.begin(), {"--memory=64MiB", "--listen-unix=" + (dir_ / "s.sock")});
    WriteFile(dir_ / "raw.log", "");
    const auto process = DaemonProcess::Raw(dir_, args);
    const auto ended = process->WaitExit(std::chrono::seconds(20));
    ASSERT_TRUE(ended.has_value()) << "it runs";
    EXPECT_EQ(*ended, code) << process->Output();
    for (const std::string& word : words) {
      EXPECT_NE(process->Output().find(word), std::string::npos) << word << "\n"
                                                                 << process->Output();
    }
  }
};

TEST_F(TlsStartTest, WhatIsMissingOrWrongIsNamed) {
  const TestCa ca(dir_);
  const TlsFiles files = ca.Issue("daemon", {"localhost"});
  const std::string cert = "--tls-cert=" + files.certificate;
  const std::string key = "--tls-key=" + files.key;
  const std::string root = "--tls-ca=" + files.ca;
  ExpectFails({cert, root}, 2, {"--tls-key", "missing", "cert dev"});
  ExpectFails({key, root}, 2, {"--tls-cert", "missing"});
  ExpectFails({"--tls-tenants=a=b"}, 2, {"--tls-tenants", "--tls-cert"});
  ExpectFails({cert, key, root, "--tls-tenants=acme"}, 2, {"--tls-tenants", "identity=tenant"});
  ExpectFails({cert, key, root, "--tls-tenants=,"}, 2, {"--tls-tenants", "no entry"});
  ExpectFails({cert, key, root, "--tls-admins=spiffe://c/*"}, 2, {"--tls-admins"});
  ExpectFails({cert, key, root, "--tls-handshakes=0"}, 2, {"--tls-handshakes", "1 to"});
  ExpectFails({"--listen-tcp=0.0.0.0:0"}, 2,
              {"--listen-tcp", "other hosts", "--tls-cert", "cairnctl cert dev"});
  ExpectFails({cert, key, "--tls-ca=" + (dir_ / "no.crt")}, 1, {"--tls-ca", "no.crt"});
  ExpectFails({"--tls-cert=" + ca.Issue("old", {"a"}, {.from_s = -9, .to_s = -1}).certificate,
               "--tls-key=" + (dir_ / "old.key"), root},
              1, {"--tls-cert", "old.crt", "expired"});
  ASSERT_TRUE(StartDaemon({.flags = {cert, key, root}, .variables = {}}));
}

}  // namespace
}  // namespace cairn::test

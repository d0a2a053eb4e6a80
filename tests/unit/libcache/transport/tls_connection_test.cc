// Two ends of TLS over a pair of sockets, driven step by step: what comes through, who is refused
// and in which words, and what a peer that is no TLS at all gets.
#include "libcache/transport/tls_connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "libcache/base/unique_fd.h"
#include "tests/integration/test_ca.h"

namespace cairn::test {
namespace {

using Step = TlsConnection::Step;
using Credentials = std::shared_ptr<const TlsCredentials>;

class TlsConnectionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int fds[2] = {-1, -1};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client_fd_ = UniqueFd(fds[0]);
    server_fd_ = UniqueFd(fds[1]);
  }
  static Credentials Load(const TlsFiles& files, TlsCredentials::Role role) {
    auto loaded = TlsCredentials::Load(files, TlsNames(), role);
    EXPECT_TRUE(loaded.has_value()) << (loaded ? "" : loaded.error().message);
    return loaded ? *loaded : nullptr;
  }
  Credentials Server() {
    return Load(ca_.Issue("daemon", {"daemon.example", "127.0.0.1", "spiffe://c/daemon"}),
                TlsCredentials::Role::kServer);
  }
  Credentials Engine(const TestCa& ca, const TestCa::Validity& validity = {}) {
    return Load(ca.Issue("engine", {"spiffe://c/engine"}, validity), TlsCredentials::Role::kClient);
  }
  void Make(const Credentials& server, const Credentials& client,
            const std::string& expected = "daemon.example",
            std::uint64_t rekey_bytes = TlsConnection::kRekeyBytes) {
    ASSERT_TRUE(server && client);
    server_ = TlsConnection::Server(*server, server_fd_.get(), rekey_bytes);
    client_ = TlsConnection::Client(*client, client_fd_.get(), expected, rekey_bytes);
  }
  struct Ends {
    Step client = Step::kWantRead;
    Step server = Step::kWantRead;
  };
  Ends Shake() {
    Ends ends;
    const auto open = [](Step step) { return step == Step::kWantRead || step == Step::kWantWrite; };
    for (int i = 0; i < 20 && (open(ends.client) || open(ends.server)); ++i) {
      ends.client = open(ends.client) ? client_->Handshake() : ends.client;
      ends.server = open(ends.server) ? server_->Handshake() : ends.server;
    }
    return ends;
  }
  void ExpectShaken() {
    const Ends ends = Shake();
    ASSERT_EQ(ends.client, Step::kDone) << client_->error().message;
    ASSERT_EQ(ends.server, Step::kDone) << server_->error().message;
  }
  static bool Has(const Error& error, const std::string& words) {
    return error.message.find(words) != std::string::npos;
  }
  /// Moves all of `bytes`, taking turns.
  static std::string Pass(TlsConnection& from, TlsConnection& to, const std::string& bytes) {
    std::string got;
    std::string buffer(100'000, '\0');
    auto left = std::as_bytes(std::span(bytes));
    for (int turns = 0; got.size() < bytes.size() && turns < 1'000'000; ++turns) {
      if (!left.empty()) {
        left = left.subspan(from.Write(left).bytes);
      }
      const auto moved = to.Read(std::as_writable_bytes(std::span(buffer)));
      EXPECT_TRUE(moved.step == Step::kDone || moved.step == Step::kWantRead);
      got.append(buffer, 0, moved.bytes);
    }
    return got;
  }

  TempDir dir_;
  TestCa ca_{dir_};
  UniqueFd client_fd_;
  UniqueFd server_fd_;
  std::unique_ptr<TlsConnection> client_;
  std::unique_ptr<TlsConnection> server_;
};

TEST_F(TlsConnectionTest, BothKnowWhoTheOtherIs) {
  Make(Server(), Engine(ca_));
  ExpectShaken();
  EXPECT_EQ(client_->peer_identity(), "spiffe://c/daemon");
  EXPECT_EQ(server_->peer_identity(), "spiffe://c/engine");
}

TEST_F(TlsConnectionTest, EveryKindOfKeyWorks) {
  using Key = CertificateRequest::Key;
  for (const Key key : {Key::kEd25519, Key::kRsa}) {
    SetUp();
    Make(Server(), Engine(ca_, {.key = key}));
    ExpectShaken();
  }
}

TEST_F(TlsConnectionTest, BytesComeThroughOverManyKeys) {
  Make(Server(), Engine(ca_), "daemon.example", 100'000);
  ExpectShaken();
  std::string bytes(5'000'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 7 + i / 256);
  }
  EXPECT_TRUE(Pass(*server_, *client_, bytes) == bytes);
  EXPECT_TRUE(Pass(*client_, *server_, bytes) == bytes);
  server_->Shutdown();
  std::byte last{};
  EXPECT_EQ(client_->Read(std::span(&last, 1)).step, Step::kClosed);
  EXPECT_EQ(client_->Read(std::span(&last, 1)).step, Step::kClosed) << "and stays so";
}

// What the socket held is read as a whole, so that its poll tells of the first record only.
TEST_F(TlsConnectionTest, WhatWasReadAheadIsPending) {
  Make(Server(), Engine(ca_));
  ExpectShaken();
  EXPECT_FALSE(client_->Pending());
  const std::string record(100, 'x');
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(server_->Write(std::as_bytes(std::span(record))).bytes, record.size());
  }
  std::string got(record.size(), '\0');
  const auto target = std::as_writable_bytes(std::span(got));
  ASSERT_EQ(client_->Read(target).bytes, record.size());
  pollfd socket{.fd = client_fd_.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&socket, 1, 0), 0) << "the socket is empty";
  EXPECT_TRUE(client_->Pending());
  ASSERT_EQ(client_->Read(target.first(60)).bytes, 60U);
  EXPECT_TRUE(client_->Pending()) << "the rest of a record";
  ASSERT_EQ(client_->Read(target).bytes, 40U);
  EXPECT_FALSE(client_->Pending());
}

// What a writer was told to try again may lie elsewhere by then.
TEST_F(TlsConnectionTest, WritesGoOnFromWhereverTheBytesAre) {
  Make(Server(), Engine(ca_));
  ExpectShaken();
  const std::string bytes(4'000'000, 'x');
  auto left = std::as_bytes(std::span(bytes));
  TlsConnection::Moved moved;
  do {
    moved = server_->Write(left);
    left = left.subspan(moved.bytes);
  } while (moved.step == Step::kDone);
  ASSERT_EQ(moved.step, Step::kWantWrite);
  EXPECT_EQ(server_->Write(left).step, Step::kWantWrite);
  const std::string copy(reinterpret_cast<const char*>(left.data()), left.size());
  std::string drained(bytes.size() - copy.size(), '\0');
  auto target = std::as_writable_bytes(std::span(drained));
  while (!target.empty()) {
    const auto got = client_->Read(target);
    ASSERT_EQ(got.step, Step::kDone);
    target = target.subspan(got.bytes);
    static_cast<void>(got);
  }
  EXPECT_EQ(Pass(*server_, *client_, copy).size(), copy.size());
}

TEST_F(TlsConnectionTest, TheDaemonMustBeWhoWasExpected) {
  for (const char* const good : {"daemon.example", "127.0.0.1", "spiffe://c/daemon"}) {
    SetUp();
    Make(Server(), Engine(ca_), good);
    ExpectShaken();
  }
  for (const char* const bad : {"other.example", "127.0.0.2", "spiffe://c/daemo", "daemon", ""}) {
    SetUp();
    Make(Server(), Engine(ca_), bad);
    EXPECT_EQ(Shake().client, Step::kFailed) << bad;
    EXPECT_TRUE(Has(client_->error(), "daemon.example")) << client_->error().message;
    EXPECT_TRUE(Has(client_->error(), "--tls-server")) << client_->error().message;
    EXPECT_EQ(client_->error().code, ErrorCode::kUnavailable);
  }
}

TEST_F(TlsConnectionTest, StrangersAreRefusedByBothSides) {
  const TestCa other(dir_, "other-ca");
  TlsFiles files = other.Issue("engine", {"spiffe://c/engine"});
  const Credentials wary = Load(files, TlsCredentials::Role::kClient);
  Make(Server(), wary);
  Ends ends = Shake();
  EXPECT_EQ(ends.client, Step::kFailed) << "a daemon of another CA";
  EXPECT_TRUE(Has(client_->error(), "--tls-ca")) << client_->error().message;
  EXPECT_EQ(ends.server, Step::kFailed);
  EXPECT_EQ(server_->refusal(), TlsConnection::Refusal::kCertificate);

  SetUp();
  files.ca = ca_.path();  // It knows us, we do not know it.
  Make(Server(), Load(files, TlsCredentials::Role::kClient));
  ends = Shake();
  EXPECT_EQ(ends.server, Step::kFailed);
  EXPECT_EQ(server_->refusal(), TlsConnection::Refusal::kCertificate);
  EXPECT_EQ(ends.client, Step::kDone) << "it learns of it with the first answer";
  std::byte unused{};
  EXPECT_EQ(client_->Read(std::span(&unused, 1)).step, Step::kFailed);
  EXPECT_TRUE(Has(client_->error(), "does not know the CA")) << client_->error().message;
}

TEST_F(TlsConnectionTest, ARefusalIsHeardByWhoWrites) {
  const TestCa other(dir_, "other-ca");
  TlsFiles files = other.Issue("engine", {"spiffe://c/engine"});
  files.ca = ca_.path();
  Make(Server(), Load(files, TlsCredentials::Role::kClient));
  static_cast<void>(Shake());
  server_fd_ = UniqueFd();
  const std::string hello(10, 'x');
  EXPECT_EQ(client_->Write(std::as_bytes(std::span(hello))).step, Step::kFailed);
  EXPECT_TRUE(Has(client_->error(), "does not know the CA")) << client_->error().message;
}

TEST_F(TlsConnectionTest, OlderTlsIsRefused) {
  const Credentials server = Server();
  const Credentials engine = Engine(ca_);
  ASSERT_TRUE(server && engine);
  server_ = TlsConnection::Server(*server, server_fd_.get());
  SSL_CTX* const old = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
  SSL* const ssl = SSL_new(old);
  SSL_set_fd(ssl, client_fd_.get());
  EXPECT_LT(SSL_connect(ssl), 1);
  EXPECT_EQ(server_->Handshake(), Step::kFailed);
  EXPECT_TRUE(Has(server_->error(), "TLS 1.3")) << server_->error().message;
  EXPECT_EQ(server_->refusal(), TlsConnection::Refusal::kProtocol);
  SSL_free(ssl);
  SSL_CTX_free(old);
}

TEST_F(TlsConnectionTest, WithoutACertificateNobodyIsLetIn) {
  const Credentials server = Server();
  server_ = TlsConnection::Server(*server, server_fd_.get());
  SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
  SSL* const ssl = SSL_new(bare);
  SSL_set_fd(ssl, client_fd_.get());
  Step step = Step::kWantRead;
  for (int i = 0; i < 10 && step == Step::kWantRead; ++i) {
    SSL_connect(ssl);
    step = server_->Handshake();
  }
  EXPECT_EQ(step, Step::kFailed);
  EXPECT_EQ(server_->refusal(), TlsConnection::Refusal::kCertificate);
  EXPECT_TRUE(Has(server_->error(), "no certificate")) << server_->error().message;
  SSL_free(ssl);
  SSL_CTX_free(bare);
}

TEST_F(TlsConnectionTest, GarbageAndSilence) {
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(300, '\xee'),
                                   std::string("\x16\x03\x01\xff\xff") + std::string(400, 'x')}) {
    SetUp();
    const Credentials server = Server();
    server_ = TlsConnection::Server(*server, server_fd_.get());
    ASSERT_EQ(write(client_fd_.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(server_->Handshake(), Step::kFailed) << bytes.substr(0, 5);
    EXPECT_NE(server_->refusal(), TlsConnection::Refusal::kCertificate);
  }
  SetUp();
  const Credentials server = Server();
  server_ = TlsConnection::Server(*server, server_fd_.get());
  EXPECT_EQ(server_->Handshake(), Step::kWantRead);
  client_fd_ = UniqueFd();
  EXPECT_NE(server_->Handshake(), Step::kDone);
}

TEST_F(TlsConnectionTest, APortWithoutTlsIsToldApart) {
  const Credentials engine = Engine(ca_);
  client_ = TlsConnection::Client(*engine, client_fd_.get(), "daemon.example");
  EXPECT_EQ(client_->Handshake(), Step::kWantRead);
  const std::string plain = "CRN1 plain text, for instance";
  ASSERT_GT(write(server_fd_.get(), plain.data(), plain.size()), 0);
  EXPECT_EQ(client_->Handshake(), Step::kFailed);
  EXPECT_TRUE(Has(client_->error(), "no TLS at this port")) << client_->error().message;
}

}  // namespace
}  // namespace cairn::test

#pragma once

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/test_ca.h"
#include "tests/integration/wire.h"

namespace cairn::test {

/// A daemon that speaks TLS, engines of two tenants, an administrator, and whoever a test makes up.
class TlsDaemonTest : public DaemonTest {
 protected:
  static constexpr const char* kTenants =
      "--tls-tenants=spiffe://c/ns/acme/*=acme,spiffe://c/ns/globex/*=globex";

  /// What makes a daemon speak TLS.
  std::vector<std::string> TlsFlags() {
    server_ = ca_.Issue("daemon", {"localhost", "127.0.0.1", "spiffe://c/daemon"});
    return {"--tls-cert=" + server_.certificate, "--tls-key=" + server_.key,
            "--tls-ca=" + server_.ca};
  }
  bool StartTls(std::vector<std::string> flags = {kTenants}, const std::string& memory = "64MiB") {
    const std::vector<std::string> tls = TlsFlags();
    flags.insert(flags.end(), tls.begin(), tls.end());
    return StartDaemon({.flags = std::move(flags), .variables = {}, .memory = memory});
  }
  TlsClientOptions Acme() { return ca_.Client("acme", {"spiffe://c/ns/acme/sa/engine"}); }
  TlsClientOptions Globex() { return ca_.Client("globex", {"spiffe://c/ns/globex/sa/engine"}); }

  [[nodiscard]] ClientOptions OptionsFor(const TlsClientOptions& tls) {
    ClientOptions options;
    options.endpoint = daemon().TcpEndpoint();
    options.breaker_failures = 0;
    options.tls = tls;
    return options;
  }
  /// What connecting comes to.
  Status Connect(const TlsClientOptions& tls) { return Client(OptionsFor(tls)).Connect(Soon()); }
  void ExpectRefused(const TlsClientOptions& tls, const std::vector<std::string>& words) {
    const Status refused = Connect(tls);
    ASSERT_FALSE(refused.has_value());
    for (const std::string& word : words) {
      EXPECT_NE(refused.error().message.find(word), std::string::npos) << word << "\n"
                                                                       << refused.error().message;
    }
  }
  Result<Channel> Open(const TlsClientOptions& tls, v1::Role role = v1::ROLE_CONTROL,
                       const std::string& token = "") {
    Channel::Greeting greeting;
    greeting.role = role;
    greeting.session_token = token;
    greeting.tls = TlsClient::Make(tls);
    return Channel::Open(*ParseEndpoint(daemon().TcpEndpoint()), greeting, Soon());
  }
  /// One GET by HTTPS; status 0 if it came to nothing.
  HttpReply HttpsGet(const TlsClientOptions& tls, const std::string& path) {
    HttpReply reply;
    const auto endpoint = *ParseEndpoint("127.0.0.1:" + std::to_string(daemon().http_port()));
    auto socket = Socket::Connect(endpoint, Soon());
    TlsClient client(tls);
    const auto credentials = client.Credentials();
    if (!socket || !credentials || !socket->Secure(**credentials, "localhost", Soon())) {
      return reply;
    }
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    static_cast<void>(socket->Send(std::as_bytes(std::span(request)), {}, Soon()));
    std::string answer;
    for (std::byte one{}; socket->Receive(std::span(&one, 1), Soon());) {
      answer.push_back(static_cast<char>(one));
    }
    const std::size_t end = answer.find("\r\n\r\n");
    if (answer.rfind("HTTP/1.", 0) == 0 && end != std::string::npos) {
      reply.status = std::atoi(answer.c_str() + 9);
      reply.body = answer.substr(end + 4);
    }
    return reply;
  }
  std::map<std::string, double> Metrics() {
    return ParseMetrics(HttpsGet(Acme(), "/metrics").body);
  }
  double Handshakes(const std::string& result) {
    return Metrics()["cairn_tls_handshakes_total{result=\"" + result + "\"}"];
  }

  /// OpenSSL as it comes, with whatever certificate: what a peer does who does not check its own.
  /// Empty `files`: without one. The reason why the daemon refused, "" if it let the peer in.
  std::string RawTls(const TlsFiles& files, int max_version = 0) {
    RawPeer peer(daemon().TcpEndpoint());
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, max_version);
    if (files.Any()) {
      EXPECT_EQ(SSL_CTX_use_certificate_file(context, files.certificate.c_str(), SSL_FILETYPE_PEM),
                1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM), 1);
    }
    SSL* const ssl = SSL_new(context);
    SSL_set_fd(ssl, peer.fd());
    ERR_clear_error();
    const auto retry = [&](int result) {
      const int why = SSL_get_error(ssl, result);
      pollfd p{.fd = peer.fd(), .events = POLLIN, .revents = 0};
      return (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) && poll(&p, 1, 5'000) == 1;
    };
    int result = SSL_connect(ssl);
    while (result != 1 && retry(result)) {
      result = SSL_connect(ssl);
    }
    if (result == 1) {
      const std::string hello = RawPeer::Framed(RawPeer::Hello());
      SSL_write(ssl, hello.data(), static_cast<int>(hello.size()));
      char byte = 0;
      result = SSL_read(ssl, &byte, 1);
      while (result != 1 && retry(result)) {
        result = SSL_read(ssl, &byte, 1);
      }
    }
    const char* const reason = ERR_reason_error_string(ERR_get_error());
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
    return result == 1 ? "" : reason == nullptr ? "closed" : reason;
  }

  TestCa ca_{dir_};
  TlsFiles server_;
};

}  // namespace cairn::test

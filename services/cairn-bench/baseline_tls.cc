#include "services/cairn-bench/baseline_tls.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace cairn::bench {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;

Context MakeContext(const SSL_METHOD* method, const TlsFiles& files) {
  Context context(SSL_CTX_new(method), SSL_CTX_free);
  SSL_CTX* const c = context.get();
  const bool good = SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") == 1 &&
                    SSL_CTX_use_certificate_chain_file(c, files.certificate.c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(c, files.key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_load_verify_locations(c, files.ca.c_str(), nullptr) == 1;
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return good ? std::move(context) : Context(nullptr, SSL_CTX_free);
}

bool SendAll(SSL* ssl, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const int most = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
    const int sent = SSL_write(ssl, bytes.data(), most);
    if (sent <= 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

bool ReceiveAll(SSL* ssl, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const int most = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
    const int got = SSL_read(ssl, bytes.data(), most);
    if (got <= 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

class RawTls final : public StreamBaseline {
 public:
  RawTls(const TlsFiles& server, const TlsFiles& client, std::span<const std::byte> source,
         std::uint64_t chunk)
      : server_context_(MakeContext(TLS_server_method(), server)),
        client_context_(MakeContext(TLS_client_method(), client)) {
    std::tie(client_fd_, server_fd_) = LoopbackPair();
    if (client_fd_ < 0 || server_context_ == nullptr || client_context_ == nullptr) {
      return;
    }
    server_.reset(SSL_new(server_context_.get()));
    client_.reset(SSL_new(client_context_.get()));
    SSL_set_fd(server_.get(), server_fd_);
    SSL_set_fd(client_.get(), client_fd_);
    thread_ = std::thread([this, source, chunk] { Serve(source, chunk); });
    connected_ = SSL_connect(client_.get()) == 1;
  }
  ~RawTls() override {
    if (client_fd_ >= 0) {
      shutdown(client_fd_, SHUT_RDWR);
    }
    if (thread_.joinable()) {
      thread_.join();
    }
    close(client_fd_);
    close(server_fd_);
  }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  Status Get(std::span<std::byte> target) override {
    const std::byte ask{};
    if (!SendAll(client_.get(), std::span(&ask, 1)) || !ReceiveAll(client_.get(), target)) {
      return Fail(ErrorCode::kIo, "raw TLS: the connection broke");
    }
    return {};
  }

 private:
  void Serve(std::span<const std::byte> source, std::uint64_t chunk) const {
    if (SSL_accept(server_.get()) != 1) {
      return;
    }
    std::byte ask{};
    for (std::uint64_t at = 0; ReceiveAll(server_.get(), std::span(&ask, 1));) {
      if (!SendAll(server_.get(), source.subspan(at, chunk))) {
        return;
      }
      at = at + 2 * chunk <= source.size() ? at + chunk : 0;
    }
  }

  Context server_context_;
  Context client_context_;
  Session server_{nullptr, SSL_free};
  Session client_{nullptr, SSL_free};
  int client_fd_ = -1;
  int server_fd_ = -1;
  bool connected_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<StreamBaseline>> OpenRawTls(const TlsFiles& server, const TlsFiles& client,
                                                   std::span<const std::byte> source,
                                                   std::uint64_t chunk) {
  auto raw = std::make_unique<RawTls>(server, client, source, chunk);
  if (!raw->connected()) {
    return Fail(ErrorCode::kIo, "raw TLS: no connection came about");
  }
  return std::unique_ptr<StreamBaseline>(std::move(raw));
}

Result<std::unique_ptr<StreamBaseline>> OpenBaseline(const DaemonProcess& daemon,
                                                     std::span<const std::byte> source,
                                                     std::uint64_t chunk) {
  const TlsClientOptions tls = daemon.Tls();
  if (tls.Any()) {
    return OpenRawTls(daemon.TlsServerFiles(),
                      {.ca = tls.ca, .certificate = tls.certificate, .key = tls.key}, source,
                      chunk);
  }
  auto plain = PlainStream::Open(source, chunk);
  if (!plain) {
    return Fail(plain.error());
  }
  return std::unique_ptr<StreamBaseline>(std::move(*plain));
}

}  // namespace cairn::bench

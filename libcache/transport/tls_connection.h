#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "libcache/base/result.h"
#include "libcache/transport/tls_credentials.h"

using SSL = struct ssl_st;

namespace cairn {

/// TLS on a connected, non-blocking socket. No call waits: each does what it can and says what to
/// wait for. After kClosed or kFailed none works any more. Not thread-safe.
class TlsConnection {
 public:
  enum class Step {
    kDone,
    kWantRead,   ///< Again once the socket can be read ...
    kWantWrite,  ///< ... or written.
    kClosed,     ///< The peer ended the connection.
    kFailed,     ///< error() says why.
  };
  struct Moved {
    Step step = Step::kFailed;
    std::size_t bytes = 0;  ///< More than 0 with kDone, else 0.
  };
  /// Why a handshake came to nothing, as far as a counter needs it.
  enum class Refusal { kNone, kNoTls, kProtocol, kCertificate };
  /// Of an error of OpenSSL's.
  static Refusal RefusalFor(unsigned long openssl_error);

  /// After so many bytes we change our key. AES-GCM is good for 2^24 records of 16 KiB.
  static constexpr std::uint64_t kRekeyBytes = std::uint64_t{1} << 36U;

  /// The client's end. `expected_peer`: what the daemon's certificate must be for (IsFor). `fd`
  /// stays the caller's, and must not be closed while calls are made here.
  static std::unique_ptr<TlsConnection> Client(const TlsCredentials& credentials, int fd,
                                               std::string expected_peer,
                                               std::uint64_t rekey_bytes = kRekeyBytes);
  /// The daemon's end. Any certificate of our CA is accepted: what its owner may do is decided by
  /// peer_identity().
  static std::unique_ptr<TlsConnection> Server(const TlsCredentials& credentials, int fd,
                                               std::uint64_t rekey_bytes = kRekeyBytes);
  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  /// Until kDone; nothing else before. A client is done before the daemon has looked at its
  /// certificate: a refusal comes with the first Read.
  Step Handshake();
  /// At most what one record holds (16 KiB); more may be there already.
  Moved Read(std::span<std::byte> target);
  /// Whether bytes of the peer's lie here that no Read has given out yet: nothing need come by the
  /// socket for the next one to succeed, so a wait for the socket may wait for ever.
  [[nodiscard]] bool Pending() const;
  /// Some of `bytes`, which are not empty. After kWantRead or kWantWrite the next Write must begin
  /// with the same bytes, wherever they are then.
  Moved Write(std::span<const std::byte> bytes);
  /// Tells the peer that no more comes, if that is possible at once.
  void Shutdown();

  /// Why it failed, in words for those who run it.
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] Refusal refusal() const { return refusal_; }
  /// Once the handshake is done: IdentityOf the peer's certificate.
  [[nodiscard]] const std::string& peer_identity() const { return peer_identity_; }
  /// Whether the kernel encrypts what is sent.
  [[nodiscard]] bool KernelSends() const;

 private:
  TlsConnection(const TlsCredentials& credentials, int fd, bool is_client,
                std::string expected_peer, std::uint64_t rekey_bytes);
  Step Settle(int result);
  Step Broken(Error error);
  [[nodiscard]] std::string Problem(unsigned long error) const;
  Step CheckPeer();
  Step LastWords();

  SSL* ssl_ = nullptr;
  const bool is_client_;
  const std::string expected_peer_;
  const std::uint64_t rekey_bytes_;
  std::uint64_t written_ = 0;  // Since the last change of our key.
  std::string peer_identity_;
  bool established_ = false;
  bool ended_ = false;
  Error error_;
  Refusal refusal_ = Refusal::kNone;
};

}  // namespace cairn

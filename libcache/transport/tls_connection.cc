#include "libcache/transport/tls_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/openssl_handles.h"

namespace cairn {
namespace {

/// OpenSSL writes with write(), which raises SIGPIPE when the peer is gone: in an engine's process
/// that would be the end. So its socket BIO with our own way to the socket.
int SendTo(BIO* bio, const char* data, int size) {
  const ssize_t sent = send(static_cast<int>(BIO_get_fd(bio, nullptr)), data,
                            static_cast<std::size_t>(size), MSG_NOSIGNAL);
  BIO_clear_retry_flags(bio);
  if (sent < 0 && BIO_sock_should_retry(-1) != 0) {
    BIO_set_retry_write(bio);
  }
  return static_cast<int>(sent);
}

int ReceiveFrom(BIO* bio, char* data, int size) {
  const ssize_t got =
      recv(static_cast<int>(BIO_get_fd(bio, nullptr)), data, static_cast<std::size_t>(size), 0);
  BIO_clear_retry_flags(bio);
  if (got < 0 && BIO_sock_should_retry(-1) != 0) {
    BIO_set_retry_read(bio);
  } else if (got == 0) {
    BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  }
  return static_cast<int>(got);
}

const BIO_METHOD* SocketMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_TYPE_SOCKET, "cairn socket");
    const BIO_METHOD* const socket = BIO_s_socket();
    CAIRN_CHECK(made != nullptr);
    BIO_meth_set_write(made, SendTo);
    BIO_meth_set_read(made, ReceiveFrom);
    BIO_meth_set_ctrl(made, BIO_meth_get_ctrl(socket));
    BIO_meth_set_create(made, BIO_meth_get_create(socket));
    BIO_meth_set_destroy(made, BIO_meth_get_destroy(socket));
    return made;
  }();
  return method;
}

/// What a peer's alert means, if it is about our certificate.
const char* AlertText(int reason) {
  switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "it does not know the CA of our certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return "our certificate has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return "it does not accept our certificate; look at it with: cairnctl cert show FILE";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return "it wants to see a certificate";
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: return "it cannot check our signature";
    default: return nullptr;
  }
}

/// What to do about a daemon's certificate that was refused.
const char* VerifyAdvice(long why) {
  switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "; renew the daemon's certificate, or its CA, unless the clock of this machine is "
             "wrong";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "; is the clock of this machine right?";
    default: return "; is --tls-ca (CAIRN_TLS_CA) the CA of this daemon?";
  }
}

bool IsNoTls(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
         reason == SSL_R_BAD_RECORD_TYPE || reason == SSL_R_UNKNOWN_PROTOCOL;
}

}  // namespace

std::unique_ptr<TlsConnection> TlsConnection::Client(const TlsCredentials& credentials, int fd,
                                                     std::string expected_peer,
                                                     std::uint64_t rekey_bytes) {
  return std::unique_ptr<TlsConnection>(
      new TlsConnection(credentials, fd, true, std::move(expected_peer), rekey_bytes));
}

std::unique_ptr<TlsConnection> TlsConnection::Server(const TlsCredentials& credentials, int fd,
                                                     std::uint64_t rekey_bytes) {
  return std::unique_ptr<TlsConnection>(new TlsConnection(credentials, fd, false, "", rekey_bytes));
}

TlsConnection::Refusal TlsConnection::RefusalFor(unsigned long openssl_error) {
  const int reason = ERR_GET_REASON(openssl_error);
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
      reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE || AlertText(reason) != nullptr) {
    return Refusal::kCertificate;
  }
  return IsNoTls(reason) ? Refusal::kNoTls : Refusal::kProtocol;
}

TlsConnection::TlsConnection(const TlsCredentials& credentials, int fd, bool is_client,
                             std::string expected_peer, std::uint64_t rekey_bytes)
    : ssl_(SSL_new(credentials.context())),
      is_client_(is_client),
      expected_peer_(std::move(expected_peer)),
      rekey_bytes_(rekey_bytes) {
  CAIRN_CHECK(ssl_ != nullptr);
  if (credentials.kernel_tls()) {
    CAIRN_CHECK(SSL_set_fd(ssl_, fd) == 1);  // Only OpenSSL's own BIO hands keys to the kernel.
  } else {
    BIO* const bio = BIO_new(SocketMethod());
    CAIRN_CHECK(bio != nullptr);
    BIO_set_fd(bio, fd, BIO_NOCLOSE);
    SSL_set_bio(ssl_, bio, bio);
  }
  if (!is_client_) {
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  // Names, not addresses and URIs, may be told to the peer.
  if (expected_peer_.find("://") == std::string::npos &&
      expected_peer_.find_first_not_of("0123456789.") != std::string::npos &&
      expected_peer_.find(':') == std::string::npos) {
    SSL_set_tlsext_host_name(ssl_, expected_peer_.c_str());
  }
}

TlsConnection::~TlsConnection() { SSL_free(ssl_); }

TlsConnection::Step TlsConnection::Broken(Error error) {
  ended_ = true;
  error_ = std::move(error);
  return Step::kFailed;
}

std::string TlsConnection::Problem(unsigned long error) const {
  const int reason = ERR_GET_REASON(error);
  const std::string peer = is_client_ ? "the daemon" : "the peer";
  if (const char* const alert = AlertText(reason); alert != nullptr) {
    return peer + " refused: " + alert;
  }
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long why = SSL_get_verify_result(ssl_);
    return "the certificate of " + peer +
           " is not accepted: " + X509_verify_cert_error_string(why) +
           (is_client_ ? VerifyAdvice(why) : "");
  }
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return peer + " shows no certificate";
  }
  if (IsNoTls(reason)) {
    return is_client_ ? "there is no TLS at this port: leave out the certificates, or start the "
                        "daemon with --tls-cert, --tls-key and --tls-ca"
                      : "no TLS";
  }
  if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION) {
    return peer + " does not speak TLS 1.3";
  }
  const char* const text = ERR_reason_error_string(error);
  return std::string("TLS failed: ") + (text == nullptr ? "no reason given" : text);
}

TlsConnection::Step TlsConnection::Settle(int result) {
  const int number = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_NONE: return Step::kDone;
    case SSL_ERROR_WANT_READ: return Step::kWantRead;
    case SSL_ERROR_WANT_WRITE: return Step::kWantWrite;
    case SSL_ERROR_ZERO_RETURN: ended_ = true; return Step::kClosed;
    case SSL_ERROR_SYSCALL:
      ended_ = true;
      if (number == 0 || number == ECONNRESET || number == EPIPE || number == EAGAIN) {
        return Step::kClosed;
      }
      return Broken({ErrorCode::kUnavailable, "connection lost: " + ErrnoText(number)});
    default: break;
  }
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ended_ = true;
    return Step::kClosed;
  }
  refusal_ = RefusalFor(error);
  Error problem{ErrorCode::kUnavailable, Problem(error)};
  ERR_clear_error();
  return Broken(std::move(problem));
}

TlsConnection::Step TlsConnection::CheckPeer() {
  const X509* const certificate = SSL_get0_peer_certificate(ssl_);
  CAIRN_CHECK(certificate != nullptr);  // The context refuses peers without one.
  peer_identity_ = IdentityOf(*certificate);
  if (is_client_ && !IsFor(*certificate, expected_peer_)) {
    const CertificateInfo info = DescribeCertificate(*certificate);
    std::string names = info.identity;
    for (const auto* list : {&info.dns, &info.addresses}) {
      for (const std::string& name : *list) {
        names += name == info.identity ? "" : (names.empty() ? "" : ", ") + name;
      }
    }
    refusal_ = Refusal::kCertificate;
    return Broken({ErrorCode::kUnavailable,
                   "the daemon's certificate is not for '" + expected_peer_ + "' but for " +
                       (names.empty() ? "no name at all" : names) +
                       "; connect by such a name, or give the one to expect as --tls-server "
                       "(CAIRN_TLS_SERVER)"});
  }
  established_ = true;
  return Step::kDone;
}

TlsConnection::Step TlsConnection::Handshake() {
  if (ended_ || established_) {
    return ended_ ? Step::kFailed : Step::kDone;
  }
  ERR_clear_error();
  errno = 0;
  const Step step = Settle(SSL_do_handshake(ssl_));
  return step == Step::kDone ? CheckPeer() : step;
}

TlsConnection::Moved TlsConnection::Read(std::span<std::byte> target) {
  CAIRN_CHECK(established_);
  if (ended_) {
    return {Step::kClosed, 0};
  }
  ERR_clear_error();
  errno = 0;
  const int most = static_cast<int>(std::min<std::size_t>(target.size(), INT_MAX));
  const int got = SSL_read(ssl_, target.data(), most);
  if (got > 0) {
    return {Step::kDone, static_cast<std::size_t>(got)};
  }
  return {Settle(got), 0};
}

bool TlsConnection::Pending() const { return !ended_ && SSL_has_pending(ssl_) == 1; }

TlsConnection::Moved TlsConnection::Write(std::span<const std::byte> bytes) {
  CAIRN_CHECK(established_);
  if (ended_) {
    return {Step::kClosed, 0};
  }
  ERR_clear_error();
  errno = 0;
  const int most = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
  const int sent = SSL_write(ssl_, bytes.data(), most);
  if (sent <= 0) {
    const Step step = Settle(sent);
    return {step == Step::kClosed ? LastWords() : step, 0};
  }
  written_ += static_cast<std::uint64_t>(sent);
  // Goes out with the next write. Kernels before 6.14 cannot change a key that they have.
  if (written_ >= rekey_bytes_ && !KernelSends() &&
      SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED) == 1) {
    written_ = 0;
  }
  return {Step::kDone, static_cast<std::size_t>(sent)};
}

TlsConnection::Step TlsConnection::LastWords() {
  // A peer that refuses us says so before it closes, and our write may come between the two.
  std::byte unused{};
  ERR_clear_error();
  errno = 0;
  const int got = SSL_read(ssl_, &unused, 1);
  const Step step = got > 0 ? Step::kClosed : Settle(got);
  ended_ = true;
  return step == Step::kFailed ? step : Step::kClosed;
}

void TlsConnection::Shutdown() {
  if (established_ && !ended_) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  ended_ = true;
}

bool TlsConnection::KernelSends() const { return BIO_get_ktls_send(SSL_get_wbio(ssl_)) != 0; }

}  // namespace cairn

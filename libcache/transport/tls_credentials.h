#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libcache/base/result.h"

using SSL_CTX = struct ssl_ctx_st;  // NOLINT(readability-identifier-naming): OpenSSL's.

namespace cairn {

/// PEM files. All three are needed: both sides show a certificate and check the other's.
struct TlsFiles {
  std::string ca;           ///< Whose certificates are accepted; one or several.
  std::string certificate;  ///< Ours, and after it those between it and the CA.
  std::string key;          ///< Of the first certificate; not encrypted.

  [[nodiscard]] bool Any() const { return !ca.empty() || !certificate.empty() || !key.empty(); }
};

/// From when to when, as Unix times.
struct TlsValidity {
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
};

/// What connections are made with: our certificate and key, and whose certificates are accepted.
/// TLS 1.3 only, a certificate from both sides always, no resumption (so every connection shows
/// its certificate), AES-128-GCM first. Immutable; thread-safe.
class TlsCredentials {
 public:
  enum class Role { kClient, kServer };

  /// Reads and checks the files. `names`: what the three are called where they are given, for the
  /// messages: {"--tls-ca", "--tls-cert", "--tls-key"}. `kernel_tls`: have the kernel encrypt what
  /// is sent, where it can.
  /// Errors: kInvalidArgument (one is not given; no PEM in it; key and certificate do not belong
  /// together; expired, or not yet valid), kNotFound, kPermissionDenied, kIo. Each names the file
  /// and what to do.
  static Result<std::shared_ptr<const TlsCredentials>> Load(const TlsFiles& files,
                                                            const TlsFiles& names, Role role,
                                                            bool kernel_tls = false);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  [[nodiscard]] SSL_CTX* context() const { return context_; }
  [[nodiscard]] bool kernel_tls() const { return kernel_tls_; }
  /// Of the certificate that ends first: one of our chain, or the CA. Of several CAs the last to
  /// end counts: a bundle may keep old ones, and with the last nobody can be checked any more.
  [[nodiscard]] const TlsValidity& validity() const { return validity_; }
  /// Who we are for others: IdentityOf our certificate; may be empty for a server.
  [[nodiscard]] const std::string& identity() const { return identity_; }
  /// Something to tell the operator, or "": the key can be read by others.
  [[nodiscard]] const std::string& warning() const { return warning_; }

 private:
  TlsCredentials() = default;

  SSL_CTX* context_ = nullptr;
  bool kernel_tls_ = false;
  TlsValidity validity_;
  std::string identity_;
  std::string warning_;
};

}  // namespace cairn

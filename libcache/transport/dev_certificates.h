#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// A certificate with its key, both PEM.
struct IssuedCertificate {
  std::string certificate;
  std::string key;
};

/// What to put into a certificate that we make ourselves: for development and tests, where there is
/// no CA of the house.
struct CertificateRequest {
  std::string common_name = {};
  std::vector<std::string> names =
      {};  ///< Host names, IP addresses and URIs; each becomes what it is.
  bool is_ca = false;
  std::int64_t not_before = 0;  ///< Unix time, seconds.
  std::int64_t not_after = 0;
  enum class Key { kEcdsa, kEd25519, kRsa };
  Key key = Key::kEcdsa;
};

/// Makes a key and a certificate for it, signed by `issuer`, or by itself where that is null.
/// Errors: kInvalidArgument (a name that cannot stand in a certificate, a bad issuer).
Result<IssuedCertificate> IssueCertificate(const CertificateRequest& request,
                                           const IssuedCertificate* issuer);

/// A CA and certificates of it for a daemon, an engine and an administrator, to begin with TLS
/// before there is a CA of the house; or certificates of such a CA that is there, for another
/// tenant or because those before come to their end. Whoever has its ca.key can be anybody.
struct DevCertificates {
  struct Options {
    std::string directory = {};           ///< Made, with mode 0700, if it is not there.
    std::vector<std::string> names = {};  ///< Of the daemon: host names and IP addresses.
    std::string tenant = "default";
    /// Where ca.crt and ca.key are that shall sign; may be `directory`. Empty: a CA is made.
    std::string ca_directory = {};
    std::uint32_t days = 365;  ///< No longer than the CA that signs, whatever this says.
    bool overwrite = false;
  };
  /// What was written, by name: ca, daemon, engine and admin, each .crt and .key; of a CA that was
  /// there only ca.crt, and neither in its own directory.
  std::vector<std::string> files;
  std::string daemon_identity;
  std::string engine_identity;  ///< "spiffe://cairn.dev/ns/TENANT/engine".
  std::string admin_identity;

  /// Writes the files; keys have mode 0600. Errors: kExists if one is there and `overwrite` is not
  /// set (nothing was written), kInvalidArgument (a name or a CA that cannot be used), kIo,
  /// kNotFound (no CA in `ca_directory`).
  static Result<DevCertificates> Write(const Options& options);
};

}  // namespace cairn

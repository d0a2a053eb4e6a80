#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "libcache/base/result.h"
#include "libcache/transport/tls_credentials.h"

namespace cairn::server {

/// The settings --tls-*. With a certificate, every TCP port speaks TLS and nothing else.
struct TlsConfig {
  std::string certificate;
  std::string key;
  std::string ca;
  std::string tenants;             ///< TenantMap; empty: all who are let in are tenant "default".
  std::string admins;              ///< Identities that may administer by TCP.
  std::uint32_t handshakes = 256;  ///< Under way at once.
  bool kernel = false;             ///< Have the kernel encrypt what is sent.

  [[nodiscard]] bool on() const { return !certificate.empty(); }
  [[nodiscard]] TlsFiles Files() const {
    return {.ca = ca, .certificate = certificate, .key = key};
  }
  /// How the options are called, for messages.
  static TlsFiles Names() {
    return {.ca = "--tls-ca", .certificate = "--tls-cert", .key = "--tls-key"};
  }
  /// What can be told without reading files. Errors: kInvalidArgument naming the flag.
  [[nodiscard]] Status Check() const;
  /// Name -> value, as cairnctl config shows it.
  void AddShown(std::map<std::string, std::string>& shown) const;
};

}  // namespace cairn::server

#pragma once

#include <memory>
#include <string>

#include "libcache/base/result.h"
#include "libcache/transport/endpoint.h"
#include "libcache/transport/tls_store.h"

namespace cairn {

/// What a client needs to reach daemons by TLS. All empty: it speaks plain text.
struct TlsClientOptions {
  std::string ca = {};           ///< PEM file of the CA that signed the daemons' certificates.
  std::string certificate = {};  ///< Ours, PEM.
  std::string key = {};          ///< Its key, PEM.
  /// Whom the daemon's certificate must be for, be it a name or a URI; empty: the endpoint's host,
  /// or the name that DNS was asked for it.
  std::string server = {};

  [[nodiscard]] bool Any() const {
    return !ca.empty() || !certificate.empty() || !key.empty() || !server.empty();
  }
};

/// The client's side of TLS for any number of connections. Files are read at the first connection,
/// and again by a later one if they changed. Thread-safe.
class TlsClient {
 public:
  explicit TlsClient(const TlsClientOptions& options);
  /// Null where there are no options: plain text.
  static std::shared_ptr<TlsClient> Make(const TlsClientOptions& options);

  /// Errors: those of TlsCredentials::Load.
  Result<TlsStore::Credentials> Credentials() { return store_.Get(); }
  /// Whom a daemon at `endpoint` must be.
  [[nodiscard]] const std::string& ServerAt(const Endpoint& endpoint) const {
    const std::string& own = endpoint.server.empty() ? endpoint.host : endpoint.server;
    return server_.empty() ? own : server_;
  }

 private:
  TlsStore store_;
  const std::string server_;
};

}  // namespace cairn

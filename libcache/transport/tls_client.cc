#include "libcache/transport/tls_client.h"

namespace cairn {

TlsClient::TlsClient(const TlsClientOptions& options)
    : store_({.files = {.ca = options.ca, .certificate = options.certificate, .key = options.key},
              .names = {.ca = "--tls-ca (CAIRN_TLS_CA)",
                        .certificate = "--tls-cert (CAIRN_TLS_CERT)",
                        .key = "--tls-key (CAIRN_TLS_KEY)"},
              .role = TlsCredentials::Role::kClient}),
      server_(options.server) {}

std::shared_ptr<TlsClient> TlsClient::Make(const TlsClientOptions& options) {
  return options.Any() ? std::make_shared<TlsClient>(options) : nullptr;
}

}  // namespace cairn

#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>

#include "services/cairnd/async.h"
#include "services/cairnd/crowd.h"
#include "services/cairnd/tls_gate.h"

namespace cairn::server {

/// What the HTTP port answers with. Called on its I/O thread.
struct HttpPages {
  std::function<std::string()> metrics;
  std::function<bool()> ready;
};

/// Serves /healthz (the event loop turns), /readyz (requests are accepted) and /metrics on one
/// connection, with a time limit per request. `tls`: by HTTPS, for any certificate of our CA; null:
/// in plain text. It is among `crowd` while it is open, and may be dropped for another.
asio::awaitable<void> ServeHttp(asio::ip::tcp::socket socket, const HttpPages& pages, TlsGate* tls,
                                Crowd& crowd);

}  // namespace cairn::server

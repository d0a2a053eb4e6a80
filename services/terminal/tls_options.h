#pragma once

#include "libcache/transport/tls_client.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library calls itself so.
class App;
}

namespace cairn::terminal {

/// --tls-ca, --tls-cert, --tls-key and --tls-server, each with a CAIRN_* variable of the same name;
/// a flag beats a variable. `options` must outlive the parsing.
void AddTlsOptions(CLI::App& app, TlsClientOptions& options);

}  // namespace cairn::terminal

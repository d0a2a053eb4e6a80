#include "services/terminal/tls_options.h"

#include <CLI/CLI.hpp>

namespace cairn::terminal {

void AddTlsOptions(CLI::App& app, TlsClientOptions& options) {
  const auto add = [&app](const char* flag, const char* variable, std::string& field,
                          const char* text) {
    app.add_option(flag, field, text)->envname(variable)->group("TLS, to a daemon by TCP");
  };
  add("--tls-ca", "CAIRN_TLS_CA", options.ca, "PEM file of the CA of the daemon's certificate");
  add("--tls-cert", "CAIRN_TLS_CERT", options.certificate, "PEM file of our certificate");
  add("--tls-key", "CAIRN_TLS_KEY", options.key, "PEM file of its key");
  add("--tls-server", "CAIRN_TLS_SERVER", options.server,
      "Whom the daemon's certificate must be for (default: the host of the endpoint)");
}

}  // namespace cairn::terminal

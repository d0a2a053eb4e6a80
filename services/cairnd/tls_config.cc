#include "services/cairnd/tls_config.h"

#include "libcache/transport/tenant_map.h"

namespace cairn::server {
namespace {

constexpr std::uint32_t kMostHandshakes = 4096;

tl::unexpected<Error> Bad(std::string text) {
  return Fail(ErrorCode::kInvalidArgument, std::move(text));
}

}  // namespace

Status TlsConfig::Check() const {
  if (on() != !key.empty() || on() != !ca.empty()) {
    const char* const missing = certificate.empty() ? "--tls-cert"
                                : key.empty()       ? "--tls-key"
                                                    : "--tls-ca";
    return Bad(std::string(missing) +
               ": is missing: TLS needs --tls-cert, --tls-key and --tls-ca; for a try, cairnctl "
               "cert dev makes all three");
  }
  if (!on() && (!tenants.empty() || !admins.empty())) {
    return Bad(std::string(tenants.empty() ? "--tls-admins" : "--tls-tenants") +
               ": has no meaning without certificates; give --tls-cert, --tls-key and --tls-ca");
  }
  if (const auto map = TenantMap::Parse(tenants); !map) {
    return Bad("--tls-tenants: " + map.error().message);
  }
  if (const auto list = ParseIdentities(admins); !list) {
    return Bad("--tls-admins: " + list.error().message);
  }
  if (handshakes == 0 || handshakes > kMostHandshakes) {
    return Bad("--tls-handshakes: give 1 to " + std::to_string(kMostHandshakes));
  }
  return {};
}

void TlsConfig::AddShown(std::map<std::string, std::string>& shown) const {
  shown["tls-cert"] = certificate;
  shown["tls-key"] = key;
  shown["tls-ca"] = ca;
  shown["tls-tenants"] = tenants;
  shown["tls-admins"] = admins;
  shown["tls-handshakes"] = std::to_string(handshakes);
  shown["tls-kernel"] = kernel ? "true" : "false";
}

}  // namespace cairn::server

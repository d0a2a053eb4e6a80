// Certificates: made to try TLS with, and looked at. No daemon is asked.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include "libcache/base/read_file.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/dev_certificates.h"
#include "libcache/transport/tenant_map.h"
#include "services/cairnctl/commands.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/json.h"

namespace cairn::ctl {
namespace {

std::vector<std::string> SplitNames(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream stream(text);
  for (std::string name; std::getline(stream, name, ',');) {
    const std::size_t begin = name.find_first_not_of(' ');
    if (begin != std::string::npos) {
      names.push_back(name.substr(begin, name.find_last_not_of(' ') - begin + 1));
    }
  }
  return names;
}

std::vector<std::string> OwnNames() {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0 && host[0] != 0 &&
      std::find(names.begin(), names.end(), host.data()) == names.end()) {
    names.emplace_back(host.data());
  }
  return names;
}

/// `host` is what an engine connects to.
std::string DevText(const DevCertificates& made, const std::string& dir,
                    const DevCertificates::Options& options, const std::string& host) {
  const auto file = [&dir](const char* leaf) { return Printable(dir + "/" + leaf); };
  const std::string tenants =
      "'spiffe://cairn.dev/ns/" + options.tenant + "/*=" + options.tenant + "'";
  const std::string endpoint =
      (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":7411";
  std::string text = "Made in " + Printable(dir) + ": ";
  for (const std::string& path : made.files) {
    text += std::filesystem::path(path).filename().string() + " ";
  }
  text += "\nFor development: whoever has ca.key can be anybody.\n\n";
  text += options.ca_directory.empty()
              ? "The daemon:\n\n"
              : "The daemon (its --tls-tenants names all tenants, separated by commas):\n\n";
  text += "  cairnd --memory 4GiB --listen-tcp 0.0.0.0:7411 --tls-cert " + file("daemon.crt") +
          " --tls-key " + file("daemon.key") + " --tls-ca " + file("ca.crt") + " --tls-tenants " +
          tenants + " --tls-admins " + made.admin_identity + "\n\nAn engine (" +
          made.engine_identity +
          "), or by the options of the same names:\n\n"
          "  export CAIRN_CONNECT=" +
          endpoint + " CAIRN_TLS_CA=" + file("ca.crt") + " CAIRN_TLS_CERT=" + file("engine.crt") +
          " CAIRN_TLS_KEY=" + file("engine.key") +
          "\n\nAn administrator:\n\n"
          "  cairnctl --connect " +
          endpoint + " --tls-ca " + file("ca.crt") + " --tls-cert " + file("admin.crt") +
          " --tls-key " + file("admin.key") + " status\n";
  return text;
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : ", ") + text;
  }
  return all.empty() ? "-" : Printable(all);
}

std::string InfoText(const CertificateInfo& info) {
  const std::int64_t now = UnixNow();
  const char* const state = now > info.not_after    ? " (EXPIRED)"
                            : now < info.not_before ? " (NOT YET VALID)"
                                                    : "";
  return "subject    " + Printable(info.subject) + "\nissuer     " + Printable(info.issuer) +
         "\nidentity   " + (info.identity.empty() ? "-" : info.identity) + "\nnames      " +
         Joined(info.dns) + "\naddresses  " + Joined(info.addresses) + "\nURIs       " +
         Joined(info.uris) + "\nvalid      " + FormatUnixTime(info.not_before) + " to " +
         FormatUnixTime(info.not_after) + state + "\nkey        " + info.key + "\nCA         " +
         (info.is_ca ? "yes" : "no") + "\n";
}

}  // namespace

Result<std::string> RunCertDev(const Invocation& invocation) {
  DevCertificates::Options options;
  options.directory = invocation.Value("--out", "cairn-certs");
  options.ca_directory = invocation.Value("--ca");
  const bool named = invocation.values.contains("--name");
  options.names = named ? SplitNames(invocation.Value("--name")) : OwnNames();
  if (options.names.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--name: there is no name in it; leave it out for localhost and this machine");
  }
  options.tenant = invocation.Value("--tenant", "default");
  options.days = static_cast<std::uint32_t>(std::stoul(invocation.Value("--days", "365")));
  options.overwrite = invocation.Has("--force");
  // As the daemon will read it.
  if (const auto tenant = TenantMap::Parse("*=" + options.tenant); !tenant || tenant->empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--tenant: '" + options.tenant + "' has characters that a tenant cannot have");
  }
  auto made = DevCertificates::Write(options);
  if (!made) {
    return Fail(made.error());
  }
  std::error_code error;
  const auto whole = std::filesystem::absolute(options.directory, error);
  const std::string dir = error ? options.directory : whole.lexically_normal().string();
  for (std::string& file : made->files) {
    file = dir + "/" + std::filesystem::path(file).filename().string();
  }
  return invocation.json
             ? CertDevJson(dir, *made)
             : DevText(*made, dir, options, named ? options.names.front() : std::string("HOST"));
}

Result<std::string> RunCertShow(const Invocation& invocation) {
  const auto text = ReadFile(invocation.argument);
  if (!text) {
    return Fail(text.error());
  }
  const auto infos = DescribeCertificates(*text);
  if (!infos) {
    return Fail(infos.error().code, invocation.argument + ": " + infos.error().message);
  }
  if (invocation.json) {
    return CertShowJson(*infos);
  }
  std::string all;
  for (const CertificateInfo& info : *infos) {
    all += (all.empty() ? "" : "\n") + InfoText(info);
  }
  return all;
}

}  // namespace cairn::ctl

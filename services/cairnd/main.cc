#include <google/protobuf/stubs/logging.h>
#include <malloc.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "services/cairnd/config.h"
#include "services/cairnd/daemon.h"
#include "services/cairnd/ucx_probe.h"

extern char** environ;

namespace {

/// glibc raises this by itself with every large block that is freed, up to 32 MiB, and then keeps
/// such blocks in its heaps. Values on their way to and from SSD are such blocks: 99 MiB of memory
/// that no cap knows of, against 10 MiB with a fixed threshold.
constexpr int kMmapThreshold = 128 * 1024;

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (text.rfind("CAIRN_", 0) == 0 && equals != std::string::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && argv[1] == cairn::server::kUcxProbeArgument) {
    return cairn::server::RunUcxProbe(argv[2]);
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto parsed = cairn::server::ParseConfig(args, Environment());
  if (parsed.exit_code == 0) {
    std::fputs(parsed.message.c_str(), stdout);
    return 0;
  }
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_level(spdlog::level::from_str(parsed.config.log_level));
  // Before a usage error: a misspelt name may be what causes it.
  for (const std::string& name : parsed.unknown_variables) {
    spdlog::warn("unknown_variable name={} effect=\"ignored; cairnd --help lists the options\"",
                 name);
  }
  for (const std::string& name : parsed.without_effect) {
    spdlog::warn("setting_without_effect name={} reason=\"{}\"", name,
                 name.starts_with("ssd-")     ? "no SSD tier: --ssd-path and --ssd are not given"
                 : name.starts_with("ucx-")   ? "no UCX plane: --ucx is off"
                 : parsed.config.gpu == "off" ? "no GPU tier: --gpu is off"
                                              : "no GPU tier: --gpu-memory is not given");
  }
  if (parsed.tls_by_variable) {
    spdlog::warn(
        "tls_by_variable name=CAIRN_TLS_CERT effect=\"engines and cairnctl read it too: make sure "
        "that it is the daemon's certificate, or give --tls-cert\"");
  }
  if (parsed.exit_code) {
    std::fputs(parsed.message.c_str(), stderr);
    return *parsed.exit_code;
  }
  std::signal(SIGPIPE, SIG_IGN);
  // It reports each malformed string on stderr: a line per message of whoever connects.
  google::protobuf::SetLogHandler(nullptr);
  const auto daemon = cairn::server::Daemon::Open(parsed.config);
  if (!daemon) {
    std::fprintf(stderr, "cairnd: %s\n", daemon.error().message.c_str());
    return 1;
  }
  return (*daemon)->Run();
}

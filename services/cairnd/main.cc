#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "services/cairnd/config.h"
#include "services/cairnd/daemon.h"

extern char** environ;

namespace {

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
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto parsed = cairn::server::ParseConfig(args, Environment());
  if (parsed.exit_code) {
    std::fputs(parsed.message.c_str(), *parsed.exit_code == 0 ? stdout : stderr);
    return *parsed.exit_code;
  }
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_level(spdlog::level::from_str(parsed.config.log_level));
  const auto daemon = cairn::server::Daemon::Open(parsed.config);
  if (!daemon) {
    std::fprintf(stderr, "cairnd: %s\n", daemon.error().message.c_str());
    return 1;
  }
  return (*daemon)->Run();
}

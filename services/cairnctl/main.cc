#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/completion.h"
#include "services/cairnctl/command_line.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/json.h"
#include "services/cairnctl/members.h"

namespace {

using cairn::ErrorCode;
using cairn::ctl::CommandSpec;
using cairn::ctl::Invocation;

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

void PrintError(bool json, std::string_view code, const std::string& message) {
  const std::string text = json ? cairn::ctl::ErrorJson(code, message)
                                : "cairnctl: " + cairn::ctl::Printable(message) + "\n";
  std::fputs(text.c_str(), stderr);
}

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> variables;
  for (const char* const name : {"CAIRN_CONNECT", "XDG_RUNTIME_DIR", "CAIRN_TLS_CA",
                                 "CAIRN_TLS_CERT", "CAIRN_TLS_KEY", "CAIRN_TLS_SERVER"}) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
    if (const char* const value = std::getenv(name); value != nullptr) {
      variables.emplace(name, value);
    }
  }
  return variables;
}

/// What a destructive command needs before it starts: --yes, or a yes on a terminal. Returns an
/// exit code if it may not start.
int Confirm(const CommandSpec& command, const Invocation& invocation) {
  if (command.question.empty() || invocation.Has("--yes")) {
    return 0;
  }
  if (invocation.json || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
    PrintError(invocation.json, "usage",
               invocation.command + " cannot be undone; add --yes to do it");
    return kWrongUsage;
  }
  std::fprintf(stderr, "%s [y/N] ", std::string(command.question).c_str());
  const int answer = std::getchar();
  if (answer == 'y' || answer == 'Y') {
    return 0;
  }
  std::fputs("cairnctl: nothing was done\n", stderr);
  return kFailed;
}

/// While it lives: says on standard error, once, whom one waits for, where that takes long.
class Notice {
 public:
  explicit Notice(std::string whom)
      : thread_([this, whom = std::move(whom)] {
          if (!done_.Wait(cairn::SteadyClock::Instance().Now() + kSilence)) {
            std::fprintf(stderr, "waiting for %s\n", cairn::ctl::Printable(whom).c_str());
          }
        }) {}
  Notice(const Notice&) = delete;
  Notice& operator=(const Notice&) = delete;
  ~Notice() {
    done_.Done(ErrorCode::kOk);
    thread_.join();
  }

 private:
  static constexpr std::chrono::seconds kSilence{2};

  cairn::Completion done_{1};
  std::thread thread_;
};

/// Of several daemons, and of a drain, the command itself says whom it waits for.
bool WantsNotice(const CommandSpec& command, const Invocation& invocation) {
  return !invocation.json && invocation.members.empty() && !command.works_alone &&
         !invocation.Has("--wait");
}

int Run(const std::vector<std::string>& args) {
  auto line = cairn::ctl::ParseLine(args, Environment(), geteuid() == 0);
  if (line.exit_code == 0) {
    std::fputs(line.message.c_str(), stdout);
    return 0;
  }
  if (line.exit_code) {
    const bool json = std::find(args.begin(), args.end(), "--json") != args.end();
    PrintError(json, "usage", line.message);
    return *line.exit_code;
  }
  Invocation& invocation = line.invocation;
  if (const auto chosen = cairn::ctl::ChooseMember(invocation); !chosen) {
    const bool usage = chosen.error().code == ErrorCode::kInvalidArgument;
    PrintError(invocation.json, usage ? "usage" : cairn::ErrorName(chosen.error().code),
               chosen.error().message);
    return usage ? kWrongUsage : kFailed;
  }
  const CommandSpec& command = *cairn::ctl::FindCommand(invocation.command);
  if (const int refused = Confirm(command, invocation); refused != 0) {
    return refused;
  }
  std::optional<Notice> notice;
  if (WantsNotice(command, invocation)) {
    notice.emplace(invocation.endpoint.Text());
  }
  const auto done = command.run(invocation);
  notice.reset();
  if (!done) {
    PrintError(invocation.json, cairn::ErrorName(done.error().code), done.error().message);
    return kFailed;
  }
  // A full disk must not look like success.
  if (std::fputs(done->c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    std::fputs("cairnctl: the answer could not be written to standard output\n", stderr);
    return kFailed;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cairnctl: %s\n", error.what());
  }
  return kFailed;
}

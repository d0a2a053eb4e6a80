#include "services/cairn-sim/published.h"

#include <cstdio>

namespace cairn::sim {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;

int Failed(const std::string& what) {
  std::fprintf(stderr, "cairn-sim: %s\n", what.c_str());
  return kExitFailed;
}

}  // namespace

int RunPublished(const PublishedCommand& command) {
  const auto report = ReplayPublished(command.options);
  if (!report) {
    return Failed(report.error().message);
  }
  const std::string text = command.json ? PublishedJson(*report) : PublishedText(*report);
  if (std::fputs(text.c_str(), stdout) == EOF || std::fflush(stdout) != 0) {
    return Failed("cannot write to stdout");
  }
  if (report->Exact() != report->Checkable()) {
    return Failed(std::to_string(report->Checkable() - report->Exact()) +
                  " runs differ from what was published");
  }
  return kExitOk;
}

}  // namespace cairn::sim

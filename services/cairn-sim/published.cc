#include "services/cairn-sim/published.h"

#include <string>

#include "services/cairn-sim/report.h"

namespace cairn::sim {
int RunPublished(const PublishedCommand& command) {
  const auto report = ReplayPublished(command.options);
  if (!report) {
    return Failed(report.error(), command.json);
  }
  const std::string text = command.json ? PublishedJson(*report) : PublishedText(*report);
  if (const int printed = Print(text, command.json); printed != kExitOk) {
    return printed;
  }
  if (report->Exact() != report->Checkable()) {
    return Failed({ErrorCode::kInternal, std::to_string(report->Checkable() - report->Exact()) +
                                             " runs differ from what was published"},
                  command.json);
  }
  return kExitOk;
}

}  // namespace cairn::sim

#include "services/cairn-sim/report.h"

#include <cstdio>

#include "services/cairn-sim/json.h"

namespace cairn::sim {

int Print(const std::string& text, bool json) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) {
    return kExitOk;
  }
  return Failed({ErrorCode::kIo, "cannot write to standard output"}, json);
}

void Complain(std::string_view code, const std::string& message, bool json) {
  const std::string text = json ? ErrorJson(code, message) : "cairn-sim: " + message + "\n";
  std::fputs(text.c_str(), stderr);
}

int WrongUsage(const Error& error, bool json) {
  Complain("usage", error.message, json);
  return kExitUsage;
}

int Failed(const Error& error, bool json) {
  Complain(ErrorName(error.code), error.message, json);
  return kExitFailed;
}

}  // namespace cairn::sim

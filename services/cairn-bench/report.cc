#include "services/cairn-bench/report.h"

#include <atomic>
#include <cstdio>
#include <fstream>

namespace cairn::bench {
namespace {

std::atomic<bool> interrupted = false;

}  // namespace

std::string Microseconds(double us) {
  const auto text = [](double value, const char* unit) {
    return Fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + unit;
  };
  if (us < 1) {
    return Fixed(us * 1e3, 0) + " ns";
  }
  if (us < 1e3) {
    return text(us, "us");
  }
  return us < 1e6 ? text(us / 1e3, "ms") : text(us / 1e6, "s");
}

std::string GigabytesPerSecond(double bytes_per_second) {
  return Fixed(bytes_per_second / 1e9, 2) + " GB/s";
}

int Print(const std::string& json, const std::string& text, bool as_json, const std::string& save) {
  std::fputs((as_json ? json : text).c_str(), stdout);
  if (save.empty()) {
    return kExitOk;
  }
  std::ofstream file(save, std::ios::trunc);
  file << json;
  file.close();
  if (!file) {
    Complain("--save: cannot write " + save);
    return kExitFailed;
  }
  return kExitOk;
}

void Complain(const std::string& text) {
  if (!interrupted) {
    std::fprintf(stderr, "cairn-bench: %s\n", text.c_str());
  }
}

void TellInterrupted() {
  Complain("interrupted");
  interrupted = true;
}

}  // namespace cairn::bench

#include "services/terminal/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "services/terminal/table.h"

namespace cairn::terminal {
namespace {

constexpr std::chrono::seconds kSilentAtFirst{2};
constexpr std::chrono::milliseconds kRedrawEvery{200};
constexpr std::chrono::seconds kLineEvery{5};
constexpr std::size_t kBarWidth = 30;

std::string TimeText(double seconds) {
  const auto whole = static_cast<int>(seconds);
  return whole < 60 ? std::to_string(whole) + " s"
                    : std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
}

}  // namespace

Progress::Progress(Show show) : mode_(Mode::kOff), started_(SteadyClock::Instance().Now()) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment.
  const char* const ci = std::getenv("CI");
  if (show == Show::kNever || (ci != nullptr && *ci != '\0')) {
    return;
  }
  if (isatty(STDERR_FILENO) != 0) {
    mode_ = Mode::kBar;
  } else if (show == Show::kAlways) {
    mode_ = Mode::kLines;
  }
}

Progress::~Progress() { Clear(); }

void Progress::Update(double share, const std::string& text) {
  const TimePoint now = SteadyClock::Instance().Now();
  const auto every = mode_ == Mode::kBar ? Duration(kRedrawEvery) : Duration(kLineEvery);
  if (mode_ == Mode::kOff || now - started_ < kSilentAtFirst || now - shown_ < every) {
    return;
  }
  shown_ = now;
  share = std::clamp(share, 0.0, 1.0);
  const double seconds = std::chrono::duration<double>(now - started_).count();
  std::string rest;
  if (share > 0.02) {
    rest = ", about " + TimeText(seconds / share * (1 - share)) + " left";
  }
  if (mode_ == Mode::kLines) {
    std::fprintf(stderr, "%s done, %s%s\n", Percent(share).c_str(), text.c_str(), rest.c_str());
    return;
  }
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  std::fprintf(stderr, "\r\033[K[%s%s] %s, %s%s", std::string(full, '#').c_str(),
               std::string(kBarWidth - full, '.').c_str(), Percent(share).c_str(), text.c_str(),
               rest.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::Clear() {
  if (drawn_) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    drawn_ = false;
  }
}

}  // namespace cairn::terminal

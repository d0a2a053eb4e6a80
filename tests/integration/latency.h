#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/child_process.h"

namespace cairn::test {

/// Durations of calls, in microseconds.
class Latencies {
 public:
  void Add(std::chrono::steady_clock::duration took) {
    us_.push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  void Add(const Latencies& others) { us_.insert(us_.end(), others.us_.begin(), others.us_.end()); }
  [[nodiscard]] std::size_t size() const { return us_.size(); }
  [[nodiscard]] double Max() const {
    return us_.empty() ? 0 : *std::max_element(us_.begin(), us_.end());
  }
  /// Nearest rank: of 2,000 calls, p99.9 is the third slowest.
  [[nodiscard]] double Quantile(double q) const {
    if (us_.empty()) {
      return 0;
    }
    std::vector<double> sorted = us_;
    std::sort(sorted.begin(), sorted.end());
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
  }
  [[nodiscard]] std::string Text() const {
    char text[120];
    std::snprintf(text, sizeof(text),
                  "%zu calls: p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us", us_.size(),
                  Quantile(0.5), Quantile(0.99), Quantile(0.999), Max());
    return text;
  }

 private:
  std::vector<double> us_;
};

/// How late this machine wakes a thread that sleeps for `sleep`: what no deadline can beat.
inline Latencies WakeupLateness(std::chrono::milliseconds sleep, int times) {
  Latencies late;
  for (int i = 0; i < times; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const timespec timeout{.tv_sec = 0, .tv_nsec = sleep.count() * 1'000'000};
    ppoll(nullptr, 0, &timeout, nullptr);
    late.Add(std::chrono::steady_clock::now() - start - sleep);
  }
  return late;
}

/// Measures WakeupLateness on a thread of its own beside other work, until Stop.
class WakeupWatch {
 public:
  WakeupWatch() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        late_.Add(WakeupLateness(std::chrono::milliseconds(2), 5));
      }
    });
  }
  Latencies Stop() {
    thread_.request_stop();
    thread_.join();
    return late_;
  }

 private:
  Latencies late_;
  std::jthread thread_;
};

/// Entries of a folder of /proc/self: "fd" or "task".
inline std::size_t CountOwn(const std::string& what) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/" + what)) {
    count += entry.path().empty() ? 0 : 1;
  }
  return count;
}

/// CountOwn once it is `expected`, or what it still is after two seconds: the kernel takes a joined
/// thread out of /proc a moment after the join returns.
inline std::size_t SettledCountOwn(const std::string& what, std::size_t expected) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (CountOwn(what) != expected && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return CountOwn(what);
}

/// A line of results that stays visible among those of the tests.
inline void Report(const std::string& line) {
  std::printf("[   FIGURE ] %s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace cairn::test

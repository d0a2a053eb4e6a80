#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/unique_fd.h"

namespace cairn::test {

/// When this machine woke a sleeper late, and by how much: no program can keep a deadline then.
class MachineWatch {
 public:
  MachineWatch() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        const TimePoint due = std::chrono::steady_clock::now() + kSleep;
        const timespec timeout{.tv_sec = 0, .tv_nsec = kSleep.count()};
        ppoll(nullptr, 0, &timeout, nullptr);
        const TimePoint now = std::chrono::steady_clock::now();
        if (now - due > kSleep) {
          const std::lock_guard lock(mu_);
          stalls_.emplace_back(due, now);
        }
      }
    });
  }
  /// The longest stall that touches the time between both.
  [[nodiscard]] Duration Worst(TimePoint from, TimePoint to) const {
    const std::lock_guard lock(mu_);
    Duration worst{0};
    for (const auto& [due, woken] : stalls_) {
      if (due < to && woken > from) {
        worst = std::max<Duration>(worst, woken - due);
      }
    }
    return worst;
  }

 private:
  static constexpr std::chrono::nanoseconds kSleep{1'000'000};

  mutable std::mutex mu_;
  std::vector<std::pair<TimePoint, TimePoint>> stalls_;
  std::jthread thread_;
};

/// Holds the calls of one thread to their deadlines. What the thread waited for a core is not the
/// callee's: the kernel counts it.
class CallClock {
 public:
  struct Call {
    const char* name = "";
    TimePoint deadline;
    TimePoint ended;
    Duration waited_for_core{0};
  };

  CallClock() : schedstat_(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}

  template <class Function>
  auto Time(const char* name, TimePoint deadline, const Function& function) {
    const Duration before = WaitedForCore();
    auto result = function();
    const TimePoint ended = std::chrono::steady_clock::now();
    ++calls_;
    failed_ += result.has_value() ? 0 : 1;
    if (ended > deadline) {
      late_.push_back({name, deadline, ended, WaitedForCore() - before});
    }
    return result;
  }

  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] std::size_t failed() const { return failed_; }
  [[nodiscard]] const std::vector<Call>& late() const { return late_; }

 private:
  /// Time that this thread was ready and had no core, in all.
  [[nodiscard]] Duration WaitedForCore() const {
    std::array<char, 96> text{};
    if (pread(schedstat_.get(), text.data(), text.size() - 1, 0) <= 0) {
      return Duration{0};
    }
    char* after_ran = nullptr;
    std::strtoull(text.data(), &after_ran, 10);
    return std::chrono::nanoseconds(std::strtoull(after_ran, nullptr, 10));
  }

  UniqueFd schedstat_;
  std::size_t calls_ = 0;
  std::size_t failed_ = 0;
  std::vector<Call> late_;
};

}  // namespace cairn::test

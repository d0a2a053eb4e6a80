#pragma once

#include <atomic>
#include <chrono>

namespace cairn {

/// Steady time only: leases, deadlines and ageing never look at the wall clock.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint Now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return std::chrono::steady_clock::now(); }
  /// The process-wide instance, for callers that were given no clock.
  static const SteadyClock& Instance() {
    static const SteadyClock clock;
    return clock;
  }
};

/// A clock that a test moves by hand. Thread-safe.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return TimePoint(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_ += by.count(); }

 private:
  std::atomic<Duration::rep> ticks_{1'000'000'000};
};

}  // namespace cairn

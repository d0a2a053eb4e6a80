#include "libcache/base/busy_poll.h"

#include <sched.h>

#include <atomic>

namespace cairn {
namespace {

// A peer that has something to do for us is through by then; a program with work of its own is not.
constexpr std::chrono::microseconds kLongYield{200};
// How long nobody yields after that: a slice of some 4 ms lost in each is 2 %.
constexpr std::chrono::milliseconds kCrowdedFor{200};

std::atomic<TimePoint> crowded_until{TimePoint{}};

}  // namespace

bool YieldCore(TimePoint now) {
  if (now < crowded_until.load(std::memory_order_relaxed)) {
    return false;
  }
  sched_yield();
  const TimePoint after = std::chrono::steady_clock::now();
  if (after - now > kLongYield) {
    crowded_until.store(after + kCrowdedFor, std::memory_order_relaxed);
    return false;
  }
  return true;
}

bool BusyPoll::Again() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (until_ == TimePoint{}) {
    until_ = now + limit_;
  }
  return now < until_ && YieldCore(now);
}

}  // namespace cairn

#include "libcache/base/busy_poll.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>

namespace cairn {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(BusyPoll, EndsByItself) {
  BusyPoll busy(microseconds(500));
  const TimePoint began = std::chrono::steady_clock::now();
  while (busy.Again()) {
  }
  EXPECT_FALSE(busy.Again());
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
}

// Whoever shares a core with a program that spins loses a slice now and then, not with each yield.
TEST(BusyPoll, NobodyYieldsToAProgramWithWorkOfItsOwn) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  std::atomic<bool> stop{false};
  std::thread spinner([&stop] {  // On the same core, which it inherits.
    while (!stop.load(std::memory_order_relaxed)) {
    }
  });
  const TimePoint until = std::chrono::steady_clock::now() + milliseconds(600);
  int yields = 0;
  int refusals = 0;
  while (std::chrono::steady_clock::now() < until) {
    (YieldCore(std::chrono::steady_clock::now()) ? yields : refusals) += 1;
    std::this_thread::sleep_for(milliseconds(2));
  }
  stop = true;
  spinner.join();
  EXPECT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_GT(refusals, yields);
}

}  // namespace
}  // namespace cairn

// What the seeds stand for.
#include "tests/chaos/schedule.h"

#include <gtest/gtest.h>

#include <set>

#include "libcache/base/result.h"
#include "tests/chaos/call_clock.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

TEST(Schedule, IsAFunctionOfItsSeed) {
  EXPECT_EQ(Schedule::Of(7, 3, 2).Text(), Schedule::Of(7, 3, 2).Text());
  EXPECT_NE(Schedule::Of(7, 3, 2).Text(), Schedule::Of(8, 3, 2).Text());
}

TEST(Schedule, EightSeedsHaveAllKindsAndAllEnds) {
  for (std::uint64_t first = 1; first < 64; first += Fault::kKinds) {
    std::set<Fault::Kind> kinds;
    for (std::uint64_t seed = first; seed < first + Fault::kKinds; ++seed) {
      const Schedule schedule = Schedule::Of(seed, 3, 2);
      ASSERT_FALSE(schedule.faults.empty());
      for (const Fault& fault : schedule.faults) {
        kinds.insert(fault.kind);
        EXPECT_LT(fault.daemon, 3U);
        EXPECT_LT(fault.engine, 2U);
        EXPECT_GT(fault.lasts, milliseconds(0));
        EXPECT_LE(fault.at + fault.lasts, schedule.Healed());
      }
    }
    EXPECT_EQ(kinds.size(), Fault::kKinds) << "from seed " << first;
  }
}

TEST(CallClock, TellsACallThatIsLateFromAThreadThatHadNoCore) {
  const MachineWatch machine;
  CallClock clock;
  const auto sleep = [](milliseconds time) {
    return [time]() -> Status {
      std::this_thread::sleep_for(time);
      return {};
    };
  };
  const TimePoint now = std::chrono::steady_clock::now();
  EXPECT_TRUE(clock.Time("in time", now + std::chrono::seconds(60), sleep(milliseconds(1))));
  EXPECT_TRUE(clock.Time("late", now + milliseconds(20), sleep(milliseconds(400))));
  EXPECT_EQ(clock.calls(), 2U);
  EXPECT_EQ(clock.failed(), 0U);
  ASSERT_EQ(clock.late().size(), 1U);
  const CallClock::Call& late = clock.late()[0];
  const Duration over = late.ended - late.deadline;
  EXPECT_GE(over, milliseconds(379));
  // A sleeper's time is its own, but for a machine that stands still.
  EXPECT_LT(late.waited_for_core, over / 2);
  EXPECT_LT(machine.Worst(late.deadline, late.ended), over / 2);
}

}  // namespace
}  // namespace cairn::test

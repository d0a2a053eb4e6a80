#pragma once

#include <chrono>

#include "libcache/base/clock.h"

namespace cairn {

/// Lets others have the core for a moment, for whoever looks again and again for something that
/// should be there in some microseconds. False, and the caller should sleep instead, where the core
/// has others to run: whoever yields to one of them waits for its whole time slice, milliseconds,
/// while a sleeper that is woken goes first. Thread-safe; what one thread sees holds for all of the
/// process, for a while. `now`: the time.
bool YieldCore(TimePoint now);

/// Tells whoever found nothing whether to look again at once.
class BusyPoll {
 public:
  /// `limit`: how long to look at most, from the first Again on.
  explicit BusyPoll(std::chrono::microseconds limit) : limit_(limit) {}
  bool Again();

 private:
  const std::chrono::microseconds limit_;
  TimePoint until_;
};

}  // namespace cairn

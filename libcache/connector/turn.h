#pragma once

#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"

namespace cairn {

/// The right to use one connection, taken by one thread at a time and waited for no longer than a
/// deadline. Unlike a Mutex it may be held while waiting for a peer. No order among waiters.
class CAIRN_CAPABILITY("turn") Turn {
 public:
  /// False when `deadline` passed first; a deadline that is over takes no turn at all.
  bool TakeUntil(TimePoint deadline) {
    const MutexLock lock(mu_);
    while (taken_) {
      if (!cv_.WaitUntil(mu_, deadline) && taken_) {
        return false;
      }
    }
    if (SteadyClock::Instance().Now() >= deadline) {
      cv_.NotifyOne();  // This thread may have swallowed another's wake-up.
      return false;
    }
    taken_ = true;
    return true;
  }
  void Give() {
    const MutexLock lock(mu_);
    taken_ = false;
    cv_.NotifyOne();
  }

 private:
  Mutex mu_;
  CondVar cv_;
  bool taken_ CAIRN_GUARDED_BY(mu_) = false;
};

/// What a call says that had no turn in time.
inline tl::unexpected<Error> TooLate() {
  return Fail(ErrorCode::kDeadlineExceeded, "the deadline was over before the call's turn came");
}

/// Takes a turn for a scope. To the analysis it is always taken: look at Taken() before the first
/// use of what the turn guards.
class CAIRN_SCOPED_CAPABILITY TurnLock {
 public:
  TurnLock(Turn& turn, TimePoint deadline) CAIRN_ACQUIRE(turn)
      : turn_(turn), taken_(turn.TakeUntil(deadline)) {}
  ~TurnLock() CAIRN_RELEASE() {
    if (taken_) {
      turn_.Give();
    }
  }
  TurnLock(const TurnLock&) = delete;
  TurnLock& operator=(const TurnLock&) = delete;

  [[nodiscard]] bool Taken() const { return taken_; }

 private:
  Turn& turn_;
  const bool taken_;
};

}  // namespace cairn

#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"

namespace cairn {

/// Several pieces of work that somebody waits for as one: a thread by Wait, an event loop by
/// OnDone. The first error is kept. Thread-safe.
class Completion {
 public:
  /// `pieces` may be 0: then it is done at once. More may be added before the first Done.
  explicit Completion(int pieces) : remaining_(pieces) {}

  void Add(int pieces) CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    remaining_ += pieces;
  }

  /// One piece ended, with kOk or an error.
  void Done(ErrorCode code) CAIRN_EXCLUDES(mu_) {
    std::vector<std::function<void()>> callbacks;
    {
      const MutexLock lock(mu_);
      CAIRN_CHECK(remaining_ > 0);
      if (code != ErrorCode::kOk && error_ == ErrorCode::kOk) {
        error_ = code;
      }
      if (--remaining_ == 0) {
        callbacks.swap(callbacks_);
        done_.NotifyAll();
      }
    }
    for (const auto& callback : callbacks) {
      callback();
    }
  }

  [[nodiscard]] bool IsDone() const CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    return remaining_ == 0;
  }
  /// kOk while nothing has failed.
  [[nodiscard]] ErrorCode error() const CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    return error_;
  }

  /// Called once, on the thread of the last Done, or at once if all is done.
  void OnDone(std::function<void()> callback) CAIRN_EXCLUDES(mu_) {
    {
      const MutexLock lock(mu_);
      if (remaining_ != 0) {
        callbacks_.push_back(std::move(callback));
        return;
      }
    }
    callback();
  }

  /// False when the deadline passed first.
  [[nodiscard]] bool Wait(TimePoint deadline) CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    while (remaining_ != 0) {
      if (!done_.WaitUntil(mu_, deadline) && remaining_ != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  mutable Mutex mu_;
  CondVar done_;
  int remaining_ CAIRN_GUARDED_BY(mu_);
  ErrorCode error_ CAIRN_GUARDED_BY(mu_) = ErrorCode::kOk;
  std::vector<std::function<void()>> callbacks_ CAIRN_GUARDED_BY(mu_);
};

}  // namespace cairn

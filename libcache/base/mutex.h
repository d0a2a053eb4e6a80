#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define CAIRN_ANNOTATE(x) __attribute__((x))
#else
#define CAIRN_ANNOTATE(x)
#endif
#define CAIRN_CAPABILITY(x) CAIRN_ANNOTATE(capability(x))
#define CAIRN_SCOPED_CAPABILITY CAIRN_ANNOTATE(scoped_lockable)
#define CAIRN_GUARDED_BY(x) CAIRN_ANNOTATE(guarded_by(x))
#define CAIRN_PT_GUARDED_BY(x) CAIRN_ANNOTATE(pt_guarded_by(x))
#define CAIRN_REQUIRES(...) CAIRN_ANNOTATE(requires_capability(__VA_ARGS__))
#define CAIRN_EXCLUDES(...) CAIRN_ANNOTATE(locks_excluded(__VA_ARGS__))
#define CAIRN_ACQUIRE(...) CAIRN_ANNOTATE(acquire_capability(__VA_ARGS__))
#define CAIRN_RELEASE(...) CAIRN_ANNOTATE(release_capability(__VA_ARGS__))

namespace cairn {

/// std::mutex that clang's -Wthread-safety can see. Locks are leaves: no code of ours takes a
/// second lock, waits for I/O or suspends a coroutine while it holds one.
class CAIRN_CAPABILITY("mutex") Mutex {
 public:
  void Lock() CAIRN_ACQUIRE() { mu_.lock(); }
  void Unlock() CAIRN_RELEASE() { mu_.unlock(); }
  std::mutex& native() { return mu_; }

 private:
  std::mutex mu_;
};

class CAIRN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) CAIRN_ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() CAIRN_RELEASE() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

/// Condition variable for Mutex. Wait atomically releases the mutex that the caller holds.
class CondVar {
 public:
  void Wait(Mutex& mu) CAIRN_REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu.native(), std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  /// False when `deadline` passed.
  template <class TimePoint>
  bool WaitUntil(Mutex& mu, const TimePoint& deadline) CAIRN_REQUIRES(mu) {
    std::unique_lock<std::mutex> lock(mu.native(), std::adopt_lock);
    const auto status = cv_.wait_until(lock, deadline);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace cairn

#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "libcache/base/mutex.h"

namespace cairn {

/// A fixed number of threads for blocking work, with a bounded queue. Thread-safe.
class ThreadPool {
 public:
  /// `name` shows in top and gdb (15 characters of it).
  ThreadPool(const std::string& name, int threads, std::size_t max_queued);
  /// Runs what is queued, then joins.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// False when the queue is full or the pool is stopping; the work was not taken.
  [[nodiscard]] bool Submit(std::function<void()> work) CAIRN_EXCLUDES(mu_);

 private:
  void Run() CAIRN_EXCLUDES(mu_);

  const std::size_t max_queued_;
  Mutex mu_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ CAIRN_GUARDED_BY(mu_);
  bool stopping_ CAIRN_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

/// Names the calling thread.
void NameThread(const std::string& name);

}  // namespace cairn

#include "libcache/base/thread_pool.h"

#include <pthread.h>

#include <utility>

namespace cairn {

void NameThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

ThreadPool::ThreadPool(const std::string& name, int threads, std::size_t max_queued)
    : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, name] {
      NameThread(name);
      Run();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

bool ThreadPool::Submit(std::function<void()> work) {
  const MutexLock lock(mu_);
  if (stopping_ || queue_.size() >= max_queued_) {
    return false;
  }
  queue_.push_back(std::move(work));
  wake_.NotifyOne();
  return true;
}

void ThreadPool::Run() {
  for (;;) {
    std::function<void()> work;
    {
      const MutexLock lock(mu_);
      while (queue_.empty() && !stopping_) {
        wake_.Wait(mu_);
      }
      if (queue_.empty()) {
        return;
      }
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace cairn

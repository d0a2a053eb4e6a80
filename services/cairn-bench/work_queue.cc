#include "services/cairn-bench/work_queue.h"

#include <utility>

#include "libcache/base/check.h"

namespace cairn::bench {

bool WorkQueue::Put(std::unique_ptr<Work> work) {
  const MutexLock lock(mu_);
  while (waiting_ >= capacity_ && !stopped_) {
    changed_.Wait(mu_);
  }
  if (stopped_) {
    return false;
  }
  waiting_ += 1;
  const std::string& group = work->request.group;
  if (group.empty()) {
    ready_.push_back(std::move(work));
  } else if (const auto it = groups_.find(group); it != groups_.end()) {
    it->second.push_back(std::move(work));
    return true;
  } else {
    groups_.emplace(group, std::deque<std::unique_ptr<Work>>());
    ready_.push_back(std::move(work));
  }
  changed_.NotifyAll();
  return true;
}

void WorkQueue::Finish() {
  const MutexLock lock(mu_);
  finished_ = true;
  changed_.NotifyAll();
}

void WorkQueue::Stop() {
  const MutexLock lock(mu_);
  stopped_ = true;
  changed_.NotifyAll();
}

std::unique_ptr<Work> WorkQueue::Take() {
  const MutexLock lock(mu_);
  while (ready_.empty() && !stopped_ && !(finished_ && waiting_ == 0)) {
    changed_.Wait(mu_);
  }
  if (stopped_ || ready_.empty()) {
    return nullptr;
  }
  std::unique_ptr<Work> work = std::move(ready_.front());
  ready_.pop_front();
  waiting_ -= 1;
  changed_.NotifyAll();
  return work;
}

void WorkQueue::Done(const Work& work) {
  const std::string& group = work.request.group;
  if (group.empty()) {
    return;
  }
  const MutexLock lock(mu_);
  const auto it = groups_.find(group);
  CAIRN_CHECK(it != groups_.end());
  if (it->second.empty()) {
    groups_.erase(it);
    return;
  }
  // It has waited its turn: ahead of requests that arrived after it.
  auto place = ready_.begin();
  while (place != ready_.end() && (*place)->number < it->second.front()->number) {
    ++place;
  }
  ready_.insert(place, std::move(it->second.front()));
  it->second.pop_front();
  changed_.NotifyAll();
}

}  // namespace cairn::bench

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "libcache/base/mutex.h"
#include "libcache/trace/trace.h"

namespace cairn::bench {

/// A request of the trace on its way to a client.
struct Work {
  std::uint64_t number = 0;  ///< Place in the trace, from 0.
  TraceRequest request;
};

/// Hands the requests of a trace to clients in order of arrival, but never two of one group at a
/// time: a session's next turn comes after its last one ended. With one client the order is the
/// trace's own. Bounded; thread-safe.
class WorkQueue {
 public:
  explicit WorkQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room. False when the queue was stopped.
  bool Put(std::unique_ptr<Work> work) CAIRN_EXCLUDES(mu_);
  /// Nothing more comes: Take returns null once all is done.
  void Finish() CAIRN_EXCLUDES(mu_);
  /// Ends at once: what waits is dropped.
  void Stop() CAIRN_EXCLUDES(mu_);

  /// Waits for a request; null at the end. Every one taken must be given back by Done.
  std::unique_ptr<Work> Take() CAIRN_EXCLUDES(mu_);
  void Done(const Work& work) CAIRN_EXCLUDES(mu_);

 private:
  const std::size_t capacity_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::unique_ptr<Work>> ready_ CAIRN_GUARDED_BY(mu_);
  /// Groups of which a request is ready or being worked on, with those that wait behind it.
  std::unordered_map<std::string, std::deque<std::unique_ptr<Work>>> groups_ CAIRN_GUARDED_BY(mu_);
  std::size_t waiting_ CAIRN_GUARDED_BY(mu_) = 0;  ///< Ready or behind another, not taken.
  bool finished_ CAIRN_GUARDED_BY(mu_) = false;
  bool stopped_ CAIRN_GUARDED_BY(mu_) = false;
};

}  // namespace cairn::bench

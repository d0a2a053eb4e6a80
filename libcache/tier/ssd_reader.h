#pragma once

#include <cstdint>
#include <functional>

#include "libcache/base/result.h"
#include "libcache/base/thread_pool.h"

namespace cairn {

/// Runs the pieces of one read on several threads and hands them to the caller in order.
///
/// The calling thread works too: it consumes what is ready, else fetches a piece itself, so a busy
/// pool slows a read down but never stops it. Thread-safe.
class SsdReader {
 public:
  using Fetch = std::function<Status(std::uint32_t piece)>;
  using Consume = std::function<void(std::uint32_t piece)>;

  explicit SsdReader(int threads);

  /// Calls fetch(i) for i in [0, pieces), on any thread and in any order, and consume(i) in order
  /// on the calling thread. Returns the first error; when it returns no fetch is running.
  Status Run(std::uint32_t pieces, const Fetch& fetch, const Consume& consume);

 private:
  struct Job;
  static bool FetchOne(Job& job);

  const std::uint32_t threads_;
  ThreadPool pool_;
};

}  // namespace cairn

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <thread>

#include "libcache/base/clock.h"
#include "libcache/base/completion.h"
#include "libcache/base/mutex.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

/// Write-behind to the cold tier: one thread and a queue bounded in bytes. The queue holds
/// references, not copies: the owner keeps each entry's bytes in place until Written is called.
/// Entries that somebody waits for durably are grouped under one flush. Thread-safe.
class ColdWriter {
 public:
  struct Entry {
    std::uint32_t cookie = 0;
    ObjectRecord record;
    std::span<const std::byte> bytes;
    /// Done once the entry survives kill -9 and power loss; may be null.
    std::shared_ptr<Completion> durable;
  };
  /// Called on the writer's thread for every entry that was taken, in order. An error means that
  /// the entry, though written, could not be found again after a restart.
  using Written = std::function<Status(const Entry&, const Result<ColdLocation>&)>;

  ColdWriter(ColdTier* tier, std::uint64_t max_queued_bytes, std::chrono::milliseconds flush_every,
             Written written);
  ~ColdWriter();
  /// Writes and flushes what is queued, then ends the thread; nothing is taken from now on.
  void Stop() CAIRN_EXCLUDES(mu_);
  ColdWriter(const ColdWriter&) = delete;
  ColdWriter& operator=(const ColdWriter&) = delete;

  /// False when the queue is full: nothing was taken, the caller counts a drop. What somebody waits
  /// for may fill it to twice its bound: those who only leave things here must not shut them out.
  [[nodiscard]] bool Push(Entry entry) CAIRN_EXCLUDES(mu_);
  /// Waits until what was queued before is written and flushed; false when the deadline passed.
  bool Flush(TimePoint deadline) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t queued_bytes() const CAIRN_EXCLUDES(mu_);

 private:
  void Run() CAIRN_EXCLUDES(mu_);

  ColdTier* const tier_;
  const std::uint64_t max_queued_bytes_;
  const std::chrono::milliseconds flush_every_;
  const Written written_;
  mutable Mutex mu_;
  CondVar wake_;
  std::deque<Entry> queue_ CAIRN_GUARDED_BY(mu_);
  struct FlushWaiter {
    std::uint64_t after = 0;  // Entries that were pushed before it.
    std::shared_ptr<Completion> done;
  };
  std::deque<FlushWaiter> flushes_ CAIRN_GUARDED_BY(mu_);
  std::uint64_t pushed_ CAIRN_GUARDED_BY(mu_) = 0;  // Entries, since the start.
  std::uint64_t taken_ CAIRN_GUARDED_BY(mu_) = 0;
  std::uint64_t queued_bytes_ CAIRN_GUARDED_BY(mu_) = 0;
  bool stopping_ CAIRN_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace cairn

#include "libcache/cache/cold_writer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "libcache/base/thread_pool.h"

namespace cairn {
namespace {

// How long a durable commit may wait for others to share its flush while the queue is busy.
constexpr std::chrono::milliseconds kDurableDelay{50};

}  // namespace

ColdWriter::ColdWriter(ColdTier* tier, std::uint64_t max_queued_bytes,
                       std::chrono::milliseconds flush_every, Written written)
    : tier_(tier),
      max_queued_bytes_(max_queued_bytes),
      flush_every_(flush_every),
      written_(std::move(written)) {
  thread_ = std::thread([this] {
    NameThread("cairn-writer");
    Run();
  });
}

ColdWriter::~ColdWriter() { Stop(); }

void ColdWriter::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool ColdWriter::Push(Entry entry) {
  const MutexLock lock(mu_);
  // One entry larger than the bound still gets through when it is alone.
  const std::uint64_t bound = (entry.durable != nullptr ? 2 : 1) * max_queued_bytes_;
  const bool full = queued_bytes_ != 0 && queued_bytes_ + entry.bytes.size() > bound;
  if (stopping_ || full) {
    return false;
  }
  queued_bytes_ += entry.bytes.size();
  ++pushed_;
  queue_.push_back(std::move(entry));
  wake_.NotifyOne();
  return true;
}

bool ColdWriter::Flush(TimePoint deadline) {
  const auto done = std::make_shared<Completion>(1);
  {
    const MutexLock lock(mu_);
    if (stopping_) {
      return false;
    }
    flushes_.push_back({.after = pushed_, .done = done});
    wake_.NotifyOne();
  }
  return done->Wait(deadline) && done->error() == ErrorCode::kOk;
}

std::uint64_t ColdWriter::queued_bytes() const {
  const MutexLock lock(mu_);
  return queued_bytes_;
}

void ColdWriter::Run() {
  bool dirty = false;  // Something was written since the last flush.
  TimePoint flush_at = TimePoint::max();
  std::vector<std::shared_ptr<Completion>> waiting;
  for (;;) {
    Entry entry;
    bool have_entry = false;
    bool flush_now = false;
    bool stop = false;
    {
      const MutexLock lock(mu_);
      while (queue_.empty() && flushes_.empty() && !stopping_ && waiting.empty()) {
        if (!dirty) {
          wake_.Wait(mu_);
        } else if (!wake_.WaitUntil(mu_, flush_at)) {
          break;
        }
      }
      // A flush covers all that came before it, and what comes after does not put it off.
      while (!flushes_.empty() && flushes_.front().after <= taken_) {
        waiting.push_back(std::move(flushes_.front().done));
        flushes_.pop_front();
        flush_now = true;
      }
      if (!queue_.empty()) {
        entry = std::move(queue_.front());
        queue_.pop_front();
        ++taken_;
        have_entry = true;
      } else {
        stop = stopping_;
      }
    }
    if (have_entry) {
      const Result<ColdLocation> location = tier_->Write(entry.record, entry.bytes, entry.cookie);
      if (!dirty) {
        dirty = true;
        flush_at = SteadyClock::Instance().Now() + flush_every_;
      }
      {
        const MutexLock lock(mu_);
        queued_bytes_ -= entry.bytes.size();  // First: the callback may have more to queue.
      }
      const Status findable = written_(entry, location);
      if (entry.durable != nullptr) {
        if (location && findable) {
          waiting.push_back(entry.durable);
          flush_at = std::min(flush_at, SteadyClock::Instance().Now() + kDurableDelay);
        } else {
          entry.durable->Done(location ? findable.error().code : location.error().code);
        }
      }
    }
    // Group commit: waiters share a flush; it is not put off for ever by a busy queue.
    const bool due = flush_now || SteadyClock::Instance().Now() >= flush_at;
    if ((!have_entry || waiting.size() >= 64 || due) && (dirty || !waiting.empty())) {
      const Status flushed = dirty ? tier_->Flush() : Status{};
      dirty = !flushed;  // What failed is tried again.
      flush_at = dirty ? SteadyClock::Instance().Now() + flush_every_ : TimePoint::max();
      for (const auto& waiter : waiting) {
        waiter->Done(flushed ? ErrorCode::kOk : flushed.error().code);
      }
      waiting.clear();
    }
    if (stop) {
      return;
    }
  }
}

}  // namespace cairn

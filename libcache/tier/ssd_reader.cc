#include "libcache/tier/ssd_reader.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libcache/base/mutex.h"

namespace cairn {
namespace {

// A backlog longer than this would not be served before the callers have done it themselves.
constexpr std::size_t kMaxQueued = 256;

}  // namespace

struct SsdReader::Job {
  Job(std::uint32_t count, const Fetch& fetch_piece)
      : pieces(count), fetch(&fetch_piece), ready(count, false) {}

  const std::uint32_t pieces;
  const Fetch* const fetch;  ///< Outlives every claimed piece: Run waits for them.
  Mutex mu;
  CondVar changed;
  std::vector<bool> ready CAIRN_GUARDED_BY(mu);
  std::uint32_t next CAIRN_GUARDED_BY(mu) = 0;
  std::uint32_t running CAIRN_GUARDED_BY(mu) = 0;
  std::optional<Error> error CAIRN_GUARDED_BY(mu);
};

SsdReader::SsdReader(int threads)
    : threads_(static_cast<std::uint32_t>(threads)), pool_("cairn-ssd-read", threads, kMaxQueued) {}

bool SsdReader::FetchOne(Job& job) {
  std::uint32_t piece = 0;
  {
    const MutexLock lock(job.mu);
    if (job.error || job.next == job.pieces) {
      return false;
    }
    piece = job.next++;
    ++job.running;
  }
  Status fetched = (*job.fetch)(piece);
  const MutexLock lock(job.mu);
  --job.running;
  job.ready[piece] = fetched.has_value();
  if (!fetched && !job.error) {
    job.error = std::move(fetched.error());
  }
  job.changed.NotifyAll();
  return true;
}

Status SsdReader::Run(std::uint32_t pieces, const Fetch& fetch, const Consume& consume) {
  const auto job = std::make_shared<Job>(pieces, fetch);
  const std::uint32_t helpers = pieces == 0 ? 0 : std::min(pieces - 1, threads_);
  for (std::uint32_t i = 0; i < helpers; ++i) {
    const bool taken = pool_.Submit([job] {
      while (FetchOne(*job)) {
      }
    });
    if (!taken) {
      break;  // The caller fetches alone.
    }
  }
  for (std::uint32_t piece = 0; piece < pieces;) {
    bool ready = false;
    {
      const MutexLock lock(job->mu);
      ready = job->ready[piece];
    }
    if (ready) {
      consume(piece++);
      continue;
    }
    if (FetchOne(*job)) {
      continue;
    }
    const MutexLock lock(job->mu);
    if (job->error) {
      break;
    }
    if (!job->ready[piece]) {
      job->changed.Wait(job->mu);
    }
  }
  const MutexLock lock(job->mu);
  while (job->running > 0) {
    job->changed.Wait(job->mu);
  }
  if (job->error) {
    return Fail(*job->error);
  }
  return {};
}

}  // namespace cairn

#include "libcache/connector/llamacpp/storer.h"

#include <algorithm>
#include <new>

#include "libcache/base/thread_pool.h"

namespace cairn::llamacpp {
namespace {

// Objects of one call: enough to make round trips cheap, little enough to need not much memory.
constexpr std::size_t kBatchBytes = 32ULL << 20U;
constexpr std::size_t kBatchItems = 256;
// A daemon that does not answer holds up each job by a timeout; they must not pile up meanwhile.
constexpr std::size_t kMaxJobs = 64;

}  // namespace

Storer::Storer(Config config, const StateLayout& layout)
    : config_(std::move(config)), layout_(layout), client_(config_.client), thread_([this] {
        NameThread("cairn-store");
        Run();
      }) {}

Storer::~Storer() {
  Flush(In(config_.timeout));
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyOne();
  }
  thread_.join();  // A call under way ends by its deadline.
}

std::optional<StoreJob::Blob> Storer::Take(std::size_t bytes) {
  const MutexLock lock(mu_);
  // The smallest that is large enough; memory that was used before needs no page faults.
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    // Not one much larger: that would be missed by the next that needs it.
    if (it->memory.size() >= bytes && it->memory.size() / 2 <= bytes &&
        (best == free_.end() || it->memory.size() < best->memory.size())) {
      best = it;
    }
  }
  if (best != free_.end()) {
    StoreJob::Blob blob = std::move(*best);
    free_.erase(best);
    blob.bytes = bytes;
    return blob;
  }
  while (bytes_ + bytes > config_.max_bytes && !free_.empty()) {
    bytes_ -= free_.back().memory.size();
    free_.pop_back();
  }
  if (bytes_ + bytes > config_.max_bytes) {
    return std::nullopt;
  }
  StoreJob::Blob blob{.memory = Buffer(bytes), .bytes = bytes};
  bytes_ += blob.memory.size();
  return blob.memory.size() == 0 ? std::nullopt : std::optional(std::move(blob));
}

void Storer::Give(StoreJob::Blob blob) {
  const MutexLock lock(mu_);
  free_.push_back(std::move(blob));
}

bool Storer::Submit(StoreJob job) {
  {
    const MutexLock lock(mu_);
    if (queue_.size() < kMaxJobs) {
      queue_.push_back(std::move(job));
      wake_.NotifyOne();
      return true;
    }
  }
  TakeBack(job);
  return false;
}

void Storer::TakeBack(StoreJob& job) {
  for (StoreJob::Blob& blob : job.checkpoints) {
    Give(std::move(blob));
  }
  if (job.whole) {
    Give(*std::move(job.whole));
  }
}

bool Storer::Flush(TimePoint deadline) {
  const MutexLock lock(mu_);
  while (busy_ || !queue_.empty()) {
    if (!idle_.WaitUntil(mu_, deadline) && (busy_ || !queue_.empty())) {
      return false;
    }
  }
  return true;
}

Storer::Counters Storer::counters() const {
  const MutexLock lock(mu_);
  return counters_;
}

void Storer::Run() {
  for (;;) {
    StoreJob job;
    {
      const MutexLock lock(mu_);
      while (queue_.empty() && !stopping_) {
        wake_.Wait(mu_);
      }
      if (stopping_) {
        return;
      }
      job = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
    }
    bool failed = false;
    try {
      Store(job);
    } catch (const std::bad_alloc&) {
      failed = true;  // It is not stored; the engine goes on.
    }
    TakeBack(job);
    const MutexLock lock(mu_);
    counters_.failed_stores += failed ? 1 : 0;
    busy_ = false;
    idle_.NotifyAll();
  }
}

Result<Client::Handle> Storer::Space() {
  if (!space_) {
    const auto opened = client_.OpenNamespace(config_.spec, In(config_.timeout));
    if (!opened) {
      return Fail(opened.error());
    }
    space_ = *opened;
  }
  return *space_;
}

void Storer::Store(StoreJob& job) {
  const auto space = Space();
  const auto prompt = space ? client_.MakePrompt(*space, 0, job.tokens)
                            : Result<Client::Prompt>(Fail(space.error()));
  Status stored = prompt ? StoreObjects(job, *prompt) : Status(Fail(prompt.error()));
  if (prompt && job.observation) {
    // What it says is lost with it; it was only advice.
    static_cast<void>(client_.Observe(*prompt, *job.observation, In(config_.timeout)));
  }
  if (!stored) {
    if (stored.error().code == ErrorCode::kUnsupported) {
      space_.reset();  // Another daemon, with another tenant key.
    }
    const MutexLock lock(mu_);
    counters_.failed_stores += stored.error().code == ErrorCode::kCorrupt ? 0 : 1;
    counters_.failed_captures += stored.error().code == ErrorCode::kCorrupt ? 1 : 0;
  }
}

Result<StateView> Storer::Parse(const StoreJob::Blob& blob, bool whole) const {
  auto view = ParseState(layout_, blob.view(), whole);
  if (const Status complete =
          view ? CheckComplete(layout_, *view, blob.position, whole) : Status(Fail(view.error()));
      !complete) {
    return Fail(complete.error());
  }
  return view;
}

/// Memory for one more object of a batch, which is stored first if it is full.
Result<std::span<std::byte>> Storer::Room(const Client::Prompt& prompt,
                                          std::vector<Client::StoreItem>& items,
                                          Client::StoreItem item, std::size_t bytes) {
  std::size_t used = 0;
  for (const Client::StoreItem& before : items) {
    used += before.bytes.size();
  }
  if (!items.empty() && (used + bytes > objects_.size() || items.size() >= kBatchItems)) {
    if (const Status stored = StoreBatch(prompt, items); !stored) {
      return Fail(stored.error());
    }
    used = 0;
  }
  if (objects_.size() < bytes) {  // Then the batch is empty.
    objects_.resize(std::max(bytes, kBatchBytes));
  }
  const auto memory = std::span(objects_).subspan(used, bytes);
  item.bytes = memory;
  items.push_back(item);
  return memory;
}

Status Storer::StoreObjects(const StoreJob& job, const Client::Prompt& prompt) {
  const std::uint32_t block = config_.spec.block_tokens;
  StateView whole;
  if (job.whole) {
    auto parsed = Parse(*job.whole, true);
    if (!parsed) {
      return Fail(parsed.error());
    }
    whole = *std::move(parsed);
  }
  // In order of position, KV before the checkpoint that stands on it.
  std::vector<Client::StoreItem> items;
  const auto room = [&](ObjectKind kind, std::uint32_t position, std::size_t bytes) {
    return Room(prompt, items, {.kind = kind, .position = position, .bytes = {}}, bytes);
  };
  const auto add_kv = [&](std::uint32_t from, std::uint32_t to) -> Status {
    const auto memory = room(ObjectKind::kKv, to, (to - from) * config_.spec.kv_bytes_per_token);
    if (!memory) {
      return Fail(memory.error());
    }
    CopyKv(layout_, whole, from, to, *memory);
    return {};
  };
  std::uint32_t kv = job.kv_from;
  const auto add_blocks = [&](std::uint32_t to) -> Status {
    Status added;
    for (; added && job.whole && kv + block <= to; kv += block) {
      added = add_kv(kv, kv + block);
    }
    return added;
  };
  for (const StoreJob::Blob& checkpoint : job.checkpoints) {
    Status added = add_blocks(checkpoint.position);
    if (const std::uint32_t inside = checkpoint.position % block;
        added && job.whole && inside != 0) {
      added = add_kv(checkpoint.position - inside, checkpoint.position);
    }
    if (!added) {
      return added;
    }
    const auto view = Parse(checkpoint, false);
    if (!view) {
      return Fail(view.error());
    }
    const auto memory =
        room(ObjectKind::kCheckpoint, checkpoint.position, config_.spec.checkpoint_bytes);
    if (!memory) {
      return Fail(memory.error());
    }
    if (Status copied = CopyCheckpoint(layout_, *view, checkpoint.position, *memory); !copied) {
      return copied;
    }
  }
  if (Status added = add_blocks(job.kv_to); !added) {
    return added;
  }
  return items.empty() ? Status() : StoreBatch(prompt, items);
}

Status Storer::StoreBatch(const Client::Prompt& prompt, std::vector<Client::StoreItem>& items) {
  {
    const MutexLock lock(mu_);
    if (stopping_) {
      return Fail(ErrorCode::kUnavailable, "the connector is closing");
    }
  }
  auto stored = StoreItems(prompt, items);
  // With KV each block makes the next one known. A state alone may stand on blocks that nobody has
  // asked for, such as those that were generated.
  if (stored && config_.spec.kv_bytes_per_token == 0 &&
      std::count(stored->codes.begin(), stored->codes.end(), ErrorCode::kNotFound) != 0) {
    if (const auto hit = client_.Match(prompt, In(config_.timeout))) {
      static_cast<void>(client_.Release(*hit, In(config_.timeout)));
      stored = StoreItems(prompt, items);
    }
  }
  items.clear();
  if (!stored) {
    return Fail(stored.error());
  }
  if (stored->refused != 0) {
    return Fail(ErrorCode::kNoSpace,
                "the cache refused " + std::to_string(stored->refused) + " objects");
  }
  return {};
}

Result<Client::Stored> Storer::StoreItems(const Client::Prompt& prompt,
                                          std::span<const Client::StoreItem> items) {
  auto stored = client_.Store(prompt, items, false, In(config_.timeout));
  if (stored) {
    const MutexLock lock(mu_);
    counters_.stored_objects += stored->written;
    counters_.stored_bytes += stored->bytes;
  }
  return stored;
}

}  // namespace cairn::llamacpp

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/connector/client.h"
#include "libcache/connector/llamacpp/buffer.h"
#include "libcache/connector/llamacpp/state_blob.h"
#include "libcache/connector/llamacpp/state_layout.h"

namespace cairn::llamacpp {

/// State blobs as llama.cpp wrote them, and what of them is to be stored.
struct StoreJob {
  struct Blob {
    std::uint32_t position = 0;
    Buffer memory;
    std::size_t bytes = 0;
    [[nodiscard]] std::span<const std::byte> view() const { return memory.span().first(bytes); }
  };
  std::vector<std::uint32_t> tokens;  ///< The prompt, and what was generated if that is stored.
  std::vector<Blob> checkpoints;      ///< Partial states, by position.
  std::optional<Blob> whole;          ///< For the KV of [kv_from, kv_to).
  std::uint32_t kv_from = 0;          ///< A block's begin.
  std::uint32_t kv_to = 0;
  std::optional<Observation> observation;
};

/// Stores what was captured, on a thread of its own and over a connection of its own, so that the
/// engine waits for a copy at most. Thread-safe.
class Storer {
 public:
  struct Config {
    ClientOptions client;
    NamespaceSpec spec;
    std::chrono::milliseconds timeout{0};  ///< Of each call.
    std::uint64_t max_bytes = 0;           ///< Of blobs at a time, those kept for reuse included.
  };
  struct Counters {
    std::uint64_t stored_objects = 0;
    std::uint64_t stored_bytes = 0;
    std::uint64_t failed_stores = 0;
    std::uint64_t failed_captures = 0;
  };

  /// `layout` must outlive the storer.
  Storer(Config config, const StateLayout& layout);
  /// Stores what is queued, as far as it gets within one timeout.
  ~Storer();
  Storer(const Storer&) = delete;
  Storer& operator=(const Storer&) = delete;

  /// Memory for a blob of `bytes` bytes; nullopt if too much is waiting to be stored.
  std::optional<StoreJob::Blob> Take(std::size_t bytes) CAIRN_EXCLUDES(mu_);
  /// Memory that is not needed after all.
  void Give(StoreJob::Blob blob) CAIRN_EXCLUDES(mu_);
  /// False, and the job is dropped, if too many wait.
  bool Submit(StoreJob job) CAIRN_EXCLUDES(mu_);
  /// False past the deadline.
  bool Flush(TimePoint deadline) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] Counters counters() const CAIRN_EXCLUDES(mu_);

 private:
  void Run() CAIRN_EXCLUDES(mu_);
  void Store(StoreJob& job) CAIRN_EXCLUDES(mu_);
  void TakeBack(StoreJob& job) CAIRN_EXCLUDES(mu_);
  Result<StateView> Parse(const StoreJob::Blob& blob, bool whole) const;
  Status StoreObjects(const StoreJob& job, const Client::Prompt& prompt) CAIRN_EXCLUDES(mu_);
  Result<std::span<std::byte>> Room(const Client::Prompt& prompt,
                                    std::vector<Client::StoreItem>& items, Client::StoreItem item,
                                    std::size_t bytes) CAIRN_EXCLUDES(mu_);
  Status StoreBatch(const Client::Prompt& prompt, std::vector<Client::StoreItem>& items)
      CAIRN_EXCLUDES(mu_);
  Result<Client::Stored> StoreItems(const Client::Prompt& prompt,
                                    std::span<const Client::StoreItem> items) CAIRN_EXCLUDES(mu_);
  Result<Client::Handle> Space();

  const Config config_;
  const StateLayout& layout_;
  Client client_;  // Used by the thread only, as the next two.
  std::optional<Client::Handle> space_;
  std::vector<std::byte> objects_;

  mutable Mutex mu_;
  CondVar wake_;
  CondVar idle_;
  std::deque<StoreJob> queue_ CAIRN_GUARDED_BY(mu_);
  std::vector<StoreJob::Blob> free_ CAIRN_GUARDED_BY(mu_);
  std::uint64_t bytes_ CAIRN_GUARDED_BY(mu_) = 0;  // Capacity of all blobs there are.
  bool busy_ CAIRN_GUARDED_BY(mu_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mu_) = false;
  Counters counters_ CAIRN_GUARDED_BY(mu_);
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace cairn::llamacpp

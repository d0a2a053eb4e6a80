#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/cache/types.h"
#include "libcache/connector/client.h"
#include "libcache/model/prefix_key.h"
#include "services/cairn-bench/latency.h"
#include "services/cairn-bench/work_queue.h"

namespace cairn::bench {

/// What requests came to; summed over clients.
struct ReplayTally {
  std::uint64_t requests = 0;
  std::uint64_t requests_failed = 0;  ///< Match failed: a cold start for an engine.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t overlap_tokens = 0;
  std::uint64_t served_tokens = 0;
  std::array<std::uint64_t, kTierKinds> served_tokens_by_tier{};  ///< By TierKind.
  std::uint64_t gap_tokens = 0;
  std::uint64_t boundaries = 0;
  std::uint64_t hits = 0;
  std::uint64_t loads = 0;
  std::uint64_t failed_loads = 0;
  std::uint64_t corrupt_loads = 0;  ///< Of these: a digest was wrong and the client noticed.
  std::uint64_t objects_fetched = 0;
  std::uint64_t bytes_fetched = 0;
  std::uint64_t objects_stored = 0;
  std::uint64_t bytes_stored = 0;
  std::uint64_t present_stores = 0;
  std::uint64_t refused_stores = 0;
  std::map<ErrorCode, std::uint64_t> refusals;  ///< Why; not the items that were not even sent.
  std::uint64_t failed_stores = 0;              ///< Calls that failed as a whole.
  std::uint64_t verification_failures = 0;
  std::string first_wrong;
  LatencyRecorder match;
  LatencyRecorder fetch;
  LatencyRecorder store;

  void Add(const ReplayTally& other);
};

/// One engine: matches, loads and verifies, stores what it would have computed, observes. One
/// thread.
class ReplayClient {
 public:
  struct Config {
    NamespaceSpec name_space;
    std::chrono::milliseconds deadline{10'000};
    bool durable = false;
  };
  ReplayClient(const Config& config, std::unique_ptr<Client> client);

  /// Errors: those of Client::OpenNamespace.
  Status Open();
  /// Serves one request. Misses, refusals, missed deadlines and wrong bytes are tallied. Errors end
  /// the replay: kUnavailable when the daemon is gone or leaves.
  Status Serve(const Work& work);

  [[nodiscard]] const ReplayTally& tally() const { return tally_; }
  /// What it holds to read objects to and make them in.
  [[nodiscard]] std::uint64_t buffer_bytes() const { return buffer_.capacity(); }
  [[nodiscard]] std::string PlaneName() const { return client_->PlaneName(); }

 private:
  /// Where objects are read to, and made before they are stored. Kept between requests.
  struct Pending {
    ObjectView object;
    std::span<const std::byte> bytes;
  };
  Status Load(const Client::Prompt& prompt, const Client::Hit& hit, Observation& observation);
  /// The error itself if it ends the replay.
  Status Ending(const Error& error);
  void CheckPending(const Client::Prompt& prompt);
  void NoteWrong(std::string what);
  [[nodiscard]] bool CoversPrefix(const Client::Hit& hit) const;
  void GrowTo(std::uint64_t bytes);
  std::span<std::byte> Room(std::uint64_t bytes);

  Status Store(const Client::Prompt& prompt, const Client::Hit& hit);
  [[nodiscard]] std::vector<Client::StoreItem> Wanted(const Client::Prompt& prompt,
                                                      const Client::Hit& hit) const;
  Status StoreBatch(const Client::Prompt& prompt, std::span<const Client::StoreItem> items,
                    bool& refused);
  [[nodiscard]] std::uint64_t SizeOf(const Client::StoreItem& item) const;
  [[nodiscard]] PrefixKey KeyOf(const Client::Prompt& prompt, std::uint32_t position) const;
  [[nodiscard]] TimePoint Deadline() const { return In(config_.deadline); }

  const Config config_;
  const std::unique_ptr<Client> client_;
  Client::Handle handle_ = 0;
  ReplayTally tally_;
  int timeouts_ = 0;  ///< In a row.
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
  std::vector<Pending> pending_;
  std::vector<ObjectView> loaded_;  ///< All objects of the load in progress.
};

}  // namespace cairn::bench

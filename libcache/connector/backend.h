#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/cache/types.h"
#include "libcache/model/prefix_key.h"
#include "libcache/transport/endpoint.h"
#include "libcache/transport/tls_client.h"

namespace cairn {

class Cache;
class DevicePort;

/// Where a Client's calls go: a daemon over a connection, or a cache in this process. One session.
/// Calls mean what the methods of Cache of the same name mean (libcache/cache/cache.h), plus
/// kUnavailable and kDeadlineExceeded. Not thread-safe; Client serialises.
class Backend {
 public:
  struct Namespace {
    std::uint32_t id = 0;
    PrefixKey seed;
    std::uint32_t grid_tokens = 0;
  };
  struct Fetched {
    std::uint32_t position = 0;
    const PrefixKey* tail_key = nullptr;
    std::uint32_t from_position = 0;
  };

  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view PlaneName() const = 0;
  /// False once the connection is lost; the owner then opens another.
  [[nodiscard]] virtual bool Alive() const = 0;
  /// Whether the daemon offered UCX and it came to nothing: no way from there to here, or the
  /// connection was lost before anything got through. The next one is better made without.
  [[nodiscard]] virtual bool UcxFailed() const { return false; }

  virtual Result<Namespace> OpenNamespace(const NamespaceSpec& spec, TimePoint deadline) = 0;
  virtual Result<MatchResult> Match(std::uint32_t name_space, std::uint64_t request,
                                    std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                                    TimePoint deadline) = 0;
  /// The two halves of a Match that may be declined, to ask several daemons at once; nothing else
  /// may be called between them. Only connections have them.
  virtual Status SendMatch(std::uint32_t /*name_space*/, std::uint64_t /*request*/,
                           std::span<const PrefixKey> /*keys*/, std::uint32_t /*prompt_tokens*/,
                           TimePoint) {
    return Fail(ErrorCode::kUnsupported, "a cache in this process is asked alone");
  }
  virtual Result<MatchResult> AwaitMatch(TimePoint) {
    return Fail(ErrorCode::kUnsupported, "a cache in this process is asked alone");
  }
  /// Tells a daemon, without waiting for its answer, of a match that another one serves.
  virtual Status TellMatch(std::uint32_t /*name_space*/, std::uint64_t /*request*/,
                           std::span<const PrefixKey> /*keys*/, std::uint32_t /*prompt_tokens*/,
                           TimePoint) {
    return {};
  }
  virtual Result<std::vector<ObjectView>> Fetch(LeaseId lease, const Fetched& what,
                                                TimePoint deadline) = 0;
  /// Copies object `index` of the fetch (target: object.bytes in all) and verifies its digest; a
  /// wrong one is reported.
  virtual Status Read(LeaseId lease, std::uint32_t index, const ObjectView& object, Pieces target,
                      TimePoint deadline) = 0;
  using TargetOf = std::function<Result<Pieces>(std::size_t index)>;
  /// Read for all objects of the fetch, in order, with the daemon at work on the next one meanwhile
  /// where a plane can. `target` gives the memory for one; it must stay so until the next call, or
  /// the end of this one. Its error ends it.
  virtual Status ReadAll(LeaseId lease, std::span<const ObjectView> objects, const TargetOf& target,
                         TimePoint deadline) {
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const Result<Pieces> memory = target(i);
      if (!memory) {
        return Fail(memory.error());
      }
      Status read = Read(lease, static_cast<std::uint32_t>(i), objects[i], *memory, deadline);
      if (!read) {
        return read;
      }
    }
    return {};
  }
  /// Matches from now on tell of device memory that `port` can read; null: of none. What was there
  /// before is unmapped.
  virtual void AttachDevice(const std::shared_ptr<DevicePort>& /*port*/) {}
  /// Why objects in device memory are not read there; no error if they are. Asks nobody.
  [[nodiscard]] virtual Status DeviceState() const {
    return Fail(ErrorCode::kUnsupported, "a cache in this process has no GPU memory");
  }
  /// Has the engine's port copy object `index` of the fetch out of device memory to `target`, where
  /// object.device says that it is there; one that the port finds to be wrong is reported. Errors:
  /// kUnsupported, those of DevicePlane::Get; the bytes are to be had by Read as well.
  virtual Status ReadOnDevice(LeaseId, std::uint32_t /*index*/, const ObjectView&,
                              std::uint64_t /*target*/, TimePoint) {
    return Fail(ErrorCode::kUnsupported, "no device memory here");
  }
  /// Says that object `index` of the fetch is not what it should be, though its digest fits: it is
  /// taken out of all tiers.
  virtual Status ReportCorrupt(LeaseId lease, std::uint32_t index, TimePoint deadline) = 0;
  /// Tells a daemon, without waiting for its answer.
  virtual Status Release(LeaseId lease, TimePoint deadline) = 0;
  /// The match that was awaited last went elsewhere: ends its lease, if it had one. Tells a daemon,
  /// without waiting for its answer.
  virtual Status Decline(LeaseId lease, TimePoint deadline) { return Release(lease, deadline); }
  virtual Result<std::vector<ReserveOutcome>> Reserve(std::uint32_t name_space,
                                                      std::uint64_t request,
                                                      std::span<const ReserveItem> items,
                                                      TimePoint deadline) = 0;
  virtual Result<Digest> Write(std::uint64_t token, std::span<const std::byte> bytes,
                               TimePoint deadline) = 0;
  virtual Result<std::vector<ErrorCode>> Commit(std::span<const CommitItem> items, bool durable,
                                                TimePoint deadline) = 0;
  virtual Status Abort(std::span<const std::uint64_t> tokens, TimePoint deadline) = 0;
  virtual Status Observe(std::uint32_t name_space, std::uint64_t request,
                         const Observation& observation, TimePoint deadline) = 0;
};

enum class PlaneChoice { kAuto, kShm, kStream, kUcx };

/// How to speak to a daemon.
struct Connecting {
  /// kAuto: shared memory where there is a Unix socket, else UCX where the daemon offers it and it
  /// is there in half of the time, else a stream.
  PlaneChoice plane = PlaneChoice::kAuto;
  std::string client;                   ///< Shown by the daemon.
  std::shared_ptr<DevicePort> device;   ///< Null: nothing is read in device memory.
  std::shared_ptr<TlsClient> tls = {};  ///< For TCP; null: plain text.
  bool without_ucx = false;             ///< kAuto passes over it.
};
Result<std::unique_ptr<Backend>> ConnectBackend(const Endpoint& endpoint,
                                                const Connecting& connecting, TimePoint deadline);

/// A session on a cache of this process.
std::unique_ptr<Backend> EmbeddedBackend(std::shared_ptr<Cache> cache);

}  // namespace cairn

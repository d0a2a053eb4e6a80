#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/result.h"

/// Unified Communication X, as little of it as both ends of the UCX plane need: one-sided transfers
/// between registered memory of ours and memory that a peer registered. Found when the program runs
/// (libucp.so.0), so that a program without it starts, and one in an engine's process brings no
/// second one. This folder is its only user; no name of UCX leaves it.
///
/// What UCX does not do, it does not do here either: it authenticates nobody, and takes addresses
/// and keys on trust. Both must come from a peer that is known (docs/decisions/0014-ucx.md).
namespace cairn::ucx {

/// One or several transfers that end as one. Done and failed are different things: what failed may
/// have written some of its bytes. Lives on its worker's thread.
class Transfer {
 public:
  virtual ~Transfer() = default;
  [[nodiscard]] bool done() const { return pending_ == 0; }
  /// Once done. Errors: kUnavailable, with UCX's reason.
  [[nodiscard]] const Status& status() const { return status_; }
  /// Called once it is done, from Worker::Progress or Endpoint::Close; not if it is done already.
  void OnDone(std::function<void()> callback) { on_done_ = std::move(callback); }
  /// Stays alive until the last byte is moved, or never will be: memory that is read or written.
  void Hold(std::shared_ptr<void> memory) { held_ = done() ? nullptr : std::move(memory); }

 protected:
  int pending_ = 0;
  Status status_;
  std::function<void()> on_done_;
  std::shared_ptr<void> held_;
};

/// Memory that UCX knows. Unregistered at the end; no transfer may be under way then.
class Region {
 public:
  virtual ~Region() = default;
  [[nodiscard]] virtual std::span<std::byte> memory() const = 0;
  /// With it a peer reads and writes this memory; with software transports any memory of this
  /// process. For peers that are trusted with that. Errors: kUnavailable.
  [[nodiscard]] virtual Result<std::string> RemoteKey() const = 0;
};

/// A way to the memory of one peer.
class Endpoint {
 public:
  /// As Close.
  virtual ~Endpoint() = default;
  /// The transport of each lane, as UCX names them ("sysv", "cma", "rc_mlx5").
  [[nodiscard]] virtual const std::vector<std::string>& lanes() const = 0;
  /// UCX has noticed that the peer is gone. It may take for ever to, so nothing depends on it.
  [[nodiscard]] virtual bool failed() const = 0;
  /// Writes `source` to `address` of the peer, and after it `word` to `word_address`. Done once the
  /// peer's memory has both. `source` lies in `region` and must stay as it is (Transfer::Hold).
  virtual std::shared_ptr<Transfer> Put(std::span<const std::byte> source, const Region& region,
                                        std::uint64_t address, std::uint64_t word,
                                        std::uint64_t word_address) = 0;
  /// Reads from `address` of the peer into `target`, which lies in `region`.
  virtual std::shared_ptr<Transfer> Get(std::span<std::byte> target, const Region& region,
                                        std::uint64_t address) = 0;
  /// Ends it without asking the peer; transfers under way fail, during this call or a later
  /// Worker::Progress.
  virtual void Close() = 0;
};

/// Moves transfers forward. One thread at a time.
class Worker {
 public:
  virtual ~Worker() = default;
  /// For a peer's Connect.
  [[nodiscard]] virtual Result<std::string> Address() const = 0;
  /// Readable after Arm when there is something to progress. Stays the worker's.
  [[nodiscard]] virtual int event_fd() const = 0;
  /// False when nothing moved.
  virtual bool Progress() = 0;
  /// False: progress first.
  virtual bool Arm() = 0;
  /// `address` is what the peer's worker gave, `remote_key` what its region gave: UCX 1.13 ends the
  /// process over some that are not. Errors: kUnavailable (not reachable by the transports in use).
  virtual Result<std::unique_ptr<Endpoint>> Connect(const std::string& address,
                                                    const std::string& remote_key) = 0;
};

/// The transports and devices in use. Workers, regions and endpoints keep it alive. Thread-safe.
class Context {
 public:
  virtual ~Context() = default;
  /// Loads UCX if need be, and opens `transports` (CheckTransports is the caller's business). Takes
  /// 10 ms on a machine without RDMA, more with it. Errors: kUnsupported (built without UCX, or no
  /// such library here; it says what to install), kUnavailable (none of the transports is there).
  static Result<std::shared_ptr<Context>> Open(const std::string& transports);
  [[nodiscard]] virtual std::string version() const = 0;  ///< Of the library: "1.13.1".
  [[nodiscard]] virtual bool has_cuda() const = 0;        ///< It can move memory of NVIDIA GPUs.
  /// Registers memory of the caller's, which must outlive the region.
  virtual Result<std::unique_ptr<Region>> Register(std::span<std::byte> memory) = 0;
  /// Memory that peers on this host can map, which makes it the fastest for them to reach. Zeroed.
  virtual Result<std::unique_ptr<Region>> Allocate(std::uint64_t bytes) = 0;
  virtual Result<std::unique_ptr<Worker>> OpenWorker() = 0;
};

}  // namespace cairn::ucx

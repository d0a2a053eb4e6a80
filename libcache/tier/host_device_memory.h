#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/tier/device_memory.h"
#include "libcache/tier/sealed_memory.h"

namespace cairn {

/// A fake device for tests: regions are memfds in host memory, and each stream is a thread that
/// copies, so that copies do run beside each other and beside their caller. It can be told to fail
/// in the ways that devices do. Names itself "fake" everywhere.
class HostDeviceMemory final : public DeviceMemory {
 public:
  struct Config {
    std::uint64_t total_bytes = 0;  ///< What the device has; Allocate refuses more.
    int streams = 2;
    /// The device is lost once a file of this name exists; empty: never.
    std::string lost_when_exists;
  };
  explicit HostDeviceMemory(Config config);
  ~HostDeviceMemory() override;
  HostDeviceMemory(const HostDeviceMemory&) = delete;
  HostDeviceMemory& operator=(const HostDeviceMemory&) = delete;

  [[nodiscard]] std::string_view Kind() const override { return "fake"; }
  [[nodiscard]] std::string Name() const override {
    return "fake device in host memory, for tests";
  }
  [[nodiscard]] std::string Id() const override { return "fake"; }
  [[nodiscard]] int streams() const override { return static_cast<int>(streams_.size()); }
  [[nodiscard]] std::uint64_t granularity_bytes() const override { return kGranularity; }
  [[nodiscard]] Result<Space> SpaceNow() const override CAIRN_EXCLUDES(mu_);
  Result<Region> Allocate(std::uint64_t bytes) override CAIRN_EXCLUDES(mu_);
  void Release(std::uint32_t region) override CAIRN_EXCLUDES(mu_);
  Result<std::span<std::byte>> AllocateStaging(std::uint64_t bytes) override CAIRN_EXCLUDES(mu_);
  void ReleaseStaging(std::span<std::byte> staging) override CAIRN_EXCLUDES(mu_);
  [[nodiscard]] SmallPiecesWay SmallPieces() const override;
  void SetSwitch(std::uint64_t) override {}
  Status CopyToDevice(int stream, std::uint32_t region, std::span<const Piece> pieces) override;
  Status CopyToHost(int stream, std::uint32_t region, std::span<const Piece> pieces) override;
  Result<Mark> SetMark(int stream) override CAIRN_EXCLUDES(mu_);
  Result<bool> Reached(const Mark& mark) override CAIRN_EXCLUDES(mu_);
  Status Wait(const Mark& mark, TimePoint deadline) override CAIRN_EXCLUDES(mu_);
  [[nodiscard]] Status Health() override CAIRN_EXCLUDES(mu_);

  // What tests may do to it.

  /// As if the driver had reported it: copies under way fail, memory is gone.
  void Lose(const std::string& reason) CAIRN_EXCLUDES(mu_);
  /// Lost when this many more batches of copies have begun.
  void LoseAfter(int batches) { lose_after_ = batches; }
  /// Every batch of copies takes at least this long.
  void SetCopyTime(std::chrono::microseconds time) { copy_us_ = time.count(); }
  /// Regions are refused as on a device whose memory others have filled.
  void SetFull(bool full) { full_ = full; }
  /// The next batch to the device writes one wrong byte.
  void SpoilNext() { spoil_ = true; }
  /// It says that a kernel copies small pieces. Nothing else changes.
  void PretendKernel(bool there) { kernel_ = there; }
  /// Copies do not end until it is called with false; waits run into their deadlines.
  void Hang(bool hang) CAIRN_EXCLUDES(mu_);
  /// The most batches of copies that were under way at one time.
  [[nodiscard]] int most_at_once() const { return most_at_once_; }
  [[nodiscard]] int allocations() const CAIRN_EXCLUDES(mu_);
  /// What lies in a region.
  [[nodiscard]] std::span<const std::byte> Content(std::uint32_t region) const CAIRN_EXCLUDES(mu_);

 private:
  static constexpr std::uint64_t kGranularity = 64 * 1024;

  struct Batch {
    bool to_device = false;
    std::span<std::byte> region;
    std::vector<Piece> pieces;
  };
  struct Stream {
    std::deque<Batch> queue;
    std::uint64_t pushed = 0;
    std::uint64_t done = 0;
    std::thread thread;
  };

  Status Push(int stream, std::uint32_t region, std::span<const Piece> pieces, bool to_device)
      CAIRN_EXCLUDES(mu_);
  void Run(std::size_t stream) CAIRN_EXCLUDES(mu_);
  void Work(const Batch& batch);
  void LoseLocked(const std::string& reason) CAIRN_REQUIRES(mu_);
  [[nodiscard]] Status Alive() const CAIRN_REQUIRES(mu_);

  const Config config_;
  std::atomic<int> lose_after_{-1};
  std::atomic<std::int64_t> copy_us_{0};
  std::atomic<bool> full_{false};
  std::atomic<bool> spoil_{false};
  std::atomic<bool> kernel_{false};
  std::atomic<int> at_once_{0};
  std::atomic<int> most_at_once_{0};
  mutable Mutex mu_;
  CondVar changed_;
  std::map<std::uint32_t, std::unique_ptr<SealedMemory>> regions_ CAIRN_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<std::byte[]>> staging_ CAIRN_GUARDED_BY(mu_);
  std::uint32_t next_region_ CAIRN_GUARDED_BY(mu_) = 1;
  std::uint64_t used_bytes_ CAIRN_GUARDED_BY(mu_) = 0;
  std::string lost_ CAIRN_GUARDED_BY(mu_);  // Why; empty while it is well.
  bool hanging_ CAIRN_GUARDED_BY(mu_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mu_) = false;
  std::vector<Stream> streams_;  // Their queues are guarded by mu_ too; the vector never changes.
};

}  // namespace cairn

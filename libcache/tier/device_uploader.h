#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

/// Brings objects from host memory to a device, and makes sure that what lies there is what was
/// stored: the source is hashed while it is copied to staging, so that what was hashed is what is
/// sent; then the bytes are read back from the device and hashed once more.
///
/// Staging buffers take turns, each on a stream of its own: while one is under way in both
/// directions the next is being filled. Not thread-safe; calls wait, so they come from a thread
/// that may.
class DeviceUploader {
 public:
  struct Config {
    std::uint64_t buffer_bytes = 4 * 1024 * 1024;  ///< Two of these per stream.
    /// A device that takes longer over one buffer is lost.
    std::chrono::milliseconds limit{10'000};
  };
  struct Transfer {
    std::span<const std::byte> source;  ///< Not empty; stays as it is until Upload returns.
    Digest digest;
    std::uint32_t region = 0;
    std::uint64_t offset = 0;
  };
  struct Outcome {
    Status status;
    std::size_t failed = 0;  ///< With kCorrupt and kIo: which transfer.
  };

  /// `device` must outlive it. Errors: those of AllocateStaging.
  static Result<std::unique_ptr<DeviceUploader>> Open(DeviceMemory* device, const Config& config);

  /// Returns when all is on the device, or nothing is under way any more. Errors: kCorrupt (the
  /// source does not have its digest), kIo (the device gave back other bytes), kUnavailable (lost,
  /// or slower than the limit; copies may still be under way then).
  Outcome Upload(std::span<const Transfer> transfers);

 private:
  struct Part {
    std::size_t transfer = 0;
    std::uint64_t at = 0;  // In the buffers.
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;  // In the region.
    bool last = false;         // Of its transfer.
  };
  struct Lane {
    int stream = 0;
    std::span<std::byte> up;
    std::span<std::byte> down;
    std::uint64_t filled = 0;
    std::uint32_t region = 0;
    std::vector<Part> parts;
    bool under_way = false;
    DeviceMemory::Mark mark;
  };

  DeviceUploader(DeviceMemory* device, const Config& config) : device_(device), config_(config) {}
  Status Stage(std::size_t index);
  Status Start(Lane& lane);
  Status Complete(Lane& lane);
  Status FinishAll();
  void GiveUp(bool device_works);

  DeviceMemory* const device_;
  const Config config_;
  std::vector<Lane> lanes_;
  std::size_t next_ = 0;  // The lane that is being filled; those after it are older.
  std::span<const Transfer> transfers_;
  Digester back_;           // Of the transfer that is being read back.
  std::size_t failed_ = 0;  // The transfer an error is about.
};

}  // namespace cairn

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"

namespace cairn {

/// Memory of an accelerator, as far as a cache needs it: regions that other processes can map, and
/// copies between them and host memory that run by themselves. Implementations: CUDA
/// (cuda_device_memory.h) and a fake in host memory for tests (host_device_memory.h).
///
/// A device is lost at the first error of its driver and stays so: every call fails with
/// kUnavailable and the reason from then on, waits included, and its regions must be given up.
///
/// Calls may come from any thread, but copies on one stream from one thread at a time.
class DeviceMemory {
 public:
  /// A stretch of device memory. `handle` is a descriptor that another process imports (CUDA) or
  /// maps (fake); it belongs to the device and is valid until Release.
  struct Region {
    std::uint32_t id = 0;
    std::uint64_t bytes = 0;
    int handle = -1;
  };
  struct Space {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;
  };
  /// Host bytes and where in a region they go, or come from. The host side lies in staging memory.
  struct Piece {
    std::span<std::byte> host;
    std::uint64_t offset = 0;
  };
  /// Who copies pieces that are small (CopyChoice).
  struct SmallPiecesWay {
    bool by_kernel = false;
    std::string why_not;  ///< Where it is not.
  };
  /// A place in the order of one stream's copies.
  struct Mark {
    int stream = 0;
    std::uint64_t number = 0;
  };

  virtual ~DeviceMemory() = default;

  /// What an importer must know of it: "cuda", or "fake".
  [[nodiscard]] virtual std::string_view Kind() const = 0;
  /// For people: "NVIDIA H200 (device 0)".
  [[nodiscard]] virtual std::string Name() const = 0;
  /// The same for all processes of the machine, and no other device's: "GPU-12345678-...".
  [[nodiscard]] virtual std::string Id() const = 0;
  [[nodiscard]] virtual int streams() const = 0;
  /// Regions are multiples of this.
  [[nodiscard]] virtual std::uint64_t granularity_bytes() const = 0;
  [[nodiscard]] virtual Result<Space> SpaceNow() const = 0;

  /// A new region; its content is undefined. `bytes` is a multiple of granularity_bytes(). Takes
  /// milliseconds. Errors: kNoSpace (the device's memory is full: no loss), kUnavailable.
  virtual Result<Region> Allocate(std::uint64_t bytes) = 0;
  /// No copy may be under way. A process that still maps it keeps the memory until it unmaps.
  virtual void Release(std::uint32_t region) = 0;

  /// Host memory that copies are fast from and to; it goes with the device. Errors: kNoSpace,
  /// kUnavailable.
  virtual Result<std::span<std::byte>> AllocateStaging(std::uint64_t bytes) = 0;
  /// Gives it back sooner. No copy of it may be under way.
  virtual void ReleaseStaging(std::span<std::byte> staging) = 0;

  [[nodiscard]] virtual SmallPiecesWay SmallPieces() const = 0;
  /// CopyChoice::switch_bytes from now on.
  virtual void SetSwitch(std::uint64_t bytes) = 0;

  /// Puts copies into a stream and returns. Those of one stream run in order, streams beside each
  /// other. Host memory must stay as it is until a Mark set after it is reached.
  virtual Status CopyToDevice(int stream, std::uint32_t region, std::span<const Piece> pieces) = 0;
  virtual Status CopyToHost(int stream, std::uint32_t region, std::span<const Piece> pieces) = 0;
  virtual Result<Mark> SetMark(int stream) = 0;
  /// All copies before `mark` are done. Errors: kUnavailable.
  virtual Result<bool> Reached(const Mark& mark) = 0;
  /// Errors: kDeadlineExceeded; kUnavailable.
  virtual Status Wait(const Mark& mark, TimePoint deadline) = 0;

  /// Errors: kUnavailable with the reason once it is lost. Cheap enough to ask once a second.
  [[nodiscard]] virtual Status Health() = 0;
};

/// Which engine copies a piece. The device's copy engine moves large pieces while its cores
/// compute, but costs the same for each piece, however small: measured 3.8 GB/s at 4 KiB, 6.9 at 24
/// KiB, 44 at 28 KiB on an H100 (docs/decisions/0010-gpu-tier.md).
enum class CopyWay : std::uint8_t { kCopyEngine, kKernel };

struct CopyChoice {
  static constexpr std::uint64_t kKernelBelow = 28 * 1024;  ///< Always by kernel below this,
  static constexpr std::uint64_t kEngineFrom = 64 * 1024;   ///< always by copy engine from here;
  std::uint64_t switch_bytes = kKernelBelow;                ///< between, as measured.
  std::size_t least_pieces = 16;  ///< Fewer are not worth a kernel's launch.

  [[nodiscard]] CopyWay Of(std::uint64_t bytes, std::size_t small_pieces) const {
    const bool small = bytes < kKernelBelow || (bytes < kEngineFrom && bytes < switch_bytes);
    return small && small_pieces >= least_pieces ? CopyWay::kKernel : CopyWay::kCopyEngine;
  }
};

/// Moves many small pieces between staging and device memory with one launch. Where there is none,
/// the copy engine does it, more slowly.
class SmallCopier {
 public:
  struct Move {
    std::uint64_t source = 0;  ///< Addresses as the device sees them.
    std::uint64_t target = 0;
    std::uint64_t bytes = 0;
  };
  virtual ~SmallCopier() = default;
  /// `stream`: the driver's handle. `moves` lie in memory that the device reads too, and stay until
  /// it has. After an error nothing was copied, and the copy engine does it. Errors: kUnavailable.
  virtual Status Copy(void* stream, std::span<const Move> moves) = 0;
};

}  // namespace cairn

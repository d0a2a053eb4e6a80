#include "libcache/tier/cuda_device_memory.h"

#ifndef CAIRN_WITH_CUDA

namespace cairn {

Result<std::unique_ptr<DeviceMemory>> OpenCudaDevice(CudaDeviceOptions) {
  return Fail(ErrorCode::kUnsupported,
              "this cairnd was built without CUDA's headers; ./dev setup --cuda installs "
              "them, then build again");
}

}  // namespace cairn

#else

#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/cuda/driver.h"
#include "libcache/cuda/mapping.h"

namespace cairn {
namespace {

constexpr int kStreams = 2;
// A wait looks this often. Waiting in the driver itself has no deadline.
constexpr std::chrono::microseconds kPoll{50};
// At the end it is waited for no longer than this; what is left the end of the process gives back.
constexpr std::chrono::seconds kEndLimit{1};

// Of small pieces: a call has one list of them. There are as many as an uploader's buffers need at
// a time, there and back; without a free one the copy engine does it.
constexpr std::size_t kLists = 4;
constexpr std::size_t kMostMoves = 4096;

class CudaDeviceMemory final : public DeviceMemory {
 public:
  CudaDeviceMemory(const CudaDriver& driver, CudaDeviceOptions options)
      : d_(driver),
        limit_(options.limit),
        small_(std::move(options.small)),
        why_not_(std::move(options.without_small)) {}
  ~CudaDeviceMemory() override;

  Status Open(int ordinal) CAIRN_EXCLUDES(mu_);

  [[nodiscard]] std::string_view Kind() const override { return "cuda"; }
  [[nodiscard]] std::string Name() const override { return name_; }
  [[nodiscard]] std::string Id() const override { return id_; }
  [[nodiscard]] int streams() const override { return kStreams; }
  [[nodiscard]] std::uint64_t granularity_bytes() const override { return granularity_; }
  [[nodiscard]] Result<Space> SpaceNow() const override CAIRN_EXCLUDES(mu_);
  Result<Region> Allocate(std::uint64_t bytes) override CAIRN_EXCLUDES(mu_);
  void Release(std::uint32_t region) override CAIRN_EXCLUDES(mu_);
  Result<std::span<std::byte>> AllocateStaging(std::uint64_t bytes) override CAIRN_EXCLUDES(mu_);
  void ReleaseStaging(std::span<std::byte> staging) override CAIRN_EXCLUDES(mu_);
  [[nodiscard]] SmallPiecesWay SmallPieces() const override CAIRN_EXCLUDES(mu_);
  void SetSwitch(std::uint64_t bytes) override CAIRN_EXCLUDES(mu_);
  Status CopyToDevice(int stream, std::uint32_t region, std::span<const Piece> pieces) override {
    return Copy(stream, region, pieces, true);
  }
  Status CopyToHost(int stream, std::uint32_t region, std::span<const Piece> pieces) override {
    return Copy(stream, region, pieces, false);
  }
  Result<Mark> SetMark(int stream) override CAIRN_EXCLUDES(mu_);
  Result<bool> Reached(const Mark& mark) override CAIRN_EXCLUDES(mu_);
  Status Wait(const Mark& mark, TimePoint deadline) override CAIRN_EXCLUDES(mu_);
  [[nodiscard]] Status Health() override CAIRN_EXCLUDES(mu_);

 private:
  struct Extent {
    CudaMapping mapping;
    int fd = -1;
  };
  struct Event {
    std::uint64_t number = 0;
    CUevent event = nullptr;
  };
  /// Memory that the device reads, in use until a mark is reached.
  struct List {
    SmallCopier::Move* moves = nullptr;
    std::uint64_t busy_until = 0;
  };
  struct Stream {
    CUstream stream = nullptr;
    std::array<List, kLists> lists;
    std::deque<Event> pending;  // Oldest first.
    std::uint64_t set = 0;
    std::uint64_t reached = 0;
  };

  Status Copy(int stream, std::uint32_t region, std::span<const Piece> pieces, bool to_device)
      CAIRN_EXCLUDES(mu_);
  Status CopyByEngine(const Stream& on, const SmallCopier::Move& move, bool to_device)
      CAIRN_REQUIRES(mu_);
  /// By kernel; what cannot be, by the copy engine.
  Status CopySmall(Stream& on, const std::vector<SmallCopier::Move>& moves, bool to_device)
      CAIRN_REQUIRES(mu_);
  Status AllocateLists() CAIRN_REQUIRES(mu_);
  Status Map(Extent& region) CAIRN_REQUIRES(mu_);
  void Unmap(const Extent& region) CAIRN_REQUIRES(mu_);
  /// Waits until nothing is under way, without the lock; past the deadline the device is lost.
  Status Drain(TimePoint deadline) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] CUmemAllocationProp Properties() const;
  /// A context belongs to threads, and calls come from several.
  Status Enter() const CAIRN_REQUIRES(mu_);
  /// Any error of the driver loses the device, but for memory that is not there.
  Status Check(const char* call, CUresult result) const CAIRN_REQUIRES(mu_);

  const CudaDriver d_;
  const CudaCheck check_ = [this](const char* call, CUresult result)
                               CAIRN_REQUIRES(mu_) { return Check(call, result); };
  const std::chrono::milliseconds limit_;
  std::string name_;
  std::string id_;
  CUdevice device_ = 0;
  std::uint64_t granularity_ = 0;
  mutable Mutex mu_;
  std::unique_ptr<SmallCopier> small_ CAIRN_GUARDED_BY(mu_);  // Null: the copy engine only, ...
  std::string why_not_ CAIRN_GUARDED_BY(mu_);                 // ... and why.
  CopyChoice choice_ CAIRN_GUARDED_BY(mu_);
  CUcontext context_ CAIRN_GUARDED_BY(mu_) = nullptr;
  mutable std::string lost_ CAIRN_GUARDED_BY(mu_);
  std::vector<Stream> streams_ CAIRN_GUARDED_BY(mu_);
  std::map<std::uint32_t, Extent> regions_ CAIRN_GUARDED_BY(mu_);
  std::vector<void*> staging_ CAIRN_GUARDED_BY(mu_);
  std::uint32_t next_region_ CAIRN_GUARDED_BY(mu_) = 1;
};

Status CudaDeviceMemory::Check(const char* call, CUresult result) const {
  if (result == CUDA_SUCCESS) {
    return {};
  }
  const std::string why = d_.Explain(call, result);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    return Fail(ErrorCode::kNoSpace, why);
  }
  lost_ = lost_.empty() ? why : lost_;
  return Fail(ErrorCode::kUnavailable, lost_);
}

Status CudaDeviceMemory::Enter() const {
  return lost_.empty() ? Check("cuCtxSetCurrent", d_.cuCtxSetCurrent_(context_))
                       : Fail(ErrorCode::kUnavailable, lost_);
}

CUmemAllocationProp CudaDeviceMemory::Properties() const {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device_;
  return properties;
}

Status CudaDeviceMemory::Open(int ordinal) {
  const MutexLock lock(mu_);
  Status good = Check("cuInit", d_.cuInit_(0));
  good = good ? Check("cuDeviceGet", d_.cuDeviceGet_(&device_, ordinal)) : good;
  if (good) {
    CUresult named = CUDA_SUCCESS;
    id_ = d_.IdOf(device_, named);
    good = Check("cuDeviceGetUuid", named);
  }
  char name[128] = {};
  good =
      good ? Check("cuDeviceGetName", d_.cuDeviceGetName_(name, sizeof(name) - 1, device_)) : good;
  for (const auto& [attribute, what] :
       {std::pair{CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, "memory by handle"},
        std::pair{CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                  "sharing memory by descriptor"}}) {
    int supported = 0;
    good = good ? Check("cuDeviceGetAttribute",
                        d_.cuDeviceGetAttribute_(&supported, attribute, device_))
                : good;
    if (good && supported == 0) {
      good = Fail(ErrorCode::kUnsupported, std::string(name) + " does not support " + what);
    }
  }
  good = good ? Check("cuDevicePrimaryCtxRetain", d_.cuDevicePrimaryCtxRetain_(&context_, device_))
              : good;
  good = good ? Enter() : good;
  const CUmemAllocationProp properties = Properties();
  std::size_t granularity = 0;
  good = good ? Check("cuMemGetAllocationGranularity",
                      d_.cuMemGetAllocationGranularity_(&granularity, &properties,
                                                        CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
              : good;
  for (int i = 0; i < kStreams && good; ++i) {
    Stream& stream = streams_.emplace_back();
    good = Check("cuStreamCreate", d_.cuStreamCreate_(&stream.stream, CU_STREAM_NON_BLOCKING));
  }
  good = good && small_ != nullptr ? AllocateLists() : good;
  granularity_ = granularity;
  name_ = std::string(name) + " (device " + std::to_string(ordinal) + ")";
  return good;
}

CudaDeviceMemory::~CudaDeviceMemory() {
  static_cast<void>(Drain(SteadyClock::Instance().Now() + kEndLimit));
  const MutexLock lock(mu_);
  if (!lost_.empty() || context_ == nullptr || !Enter()) {
    return;  // A lost device's driver may never answer. The process's end cleans up.
  }
  for (const Stream& stream : streams_) {
    for (const Event& event : stream.pending) {
      static_cast<void>(d_.cuEventDestroy_(event.event));
    }
    static_cast<void>(d_.cuStreamDestroy_(stream.stream));
  }
  for (const auto& [id, region] : regions_) {
    Unmap(region);
  }
  for (void* const memory : staging_) {
    static_cast<void>(d_.cuMemFreeHost_(memory));
  }
  static_cast<void>(d_.cuDevicePrimaryCtxRelease_(device_));
}

Result<DeviceMemory::Space> CudaDeviceMemory::SpaceNow() const {
  const MutexLock lock(mu_);
  Status good = Enter();
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  good = good ? Check("cuMemGetInfo", d_.cuMemGetInfo_(&free_bytes, &total_bytes)) : good;
  if (!good) {
    return Fail(good.error());
  }
  return Space{.total_bytes = total_bytes, .free_bytes = free_bytes};
}

Status CudaDeviceMemory::Map(Extent& region) {
  const CUmemAllocationProp properties = Properties();
  CudaMapping& mapping = region.mapping;
  Status good =
      Check("cuMemCreate", d_.cuMemCreate_(&mapping.handle, mapping.bytes, &properties, 0));
  mapping.held = good.has_value();
  good = good ? mapping.Place(d_, check_) : good;
  CUmemAccessDesc access{};
  access.location = properties.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  good =
      good ? Check("cuMemSetAccess", d_.cuMemSetAccess_(mapping.address, mapping.bytes, &access, 1))
           : good;
  good = good ? Check("cuMemExportToShareableHandle",
                      d_.cuMemExportToShareableHandle_(&region.fd, mapping.handle,
                                                       CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0))
              : good;
  // What it held before may be another tenant's.
  CUstream const stream = streams_[0].stream;
  return good ? Check("cuMemsetD8Async",
                      d_.cuMemsetD8Async_(mapping.address, 0, mapping.bytes, stream))
              : good;
}

Status CudaDeviceMemory::Drain(TimePoint deadline) {
  for (;;) {
    {
      const MutexLock lock(mu_);
      Status good = context_ != nullptr ? Enter() : Fail(ErrorCode::kUnavailable, "not open");
      bool busy = false;
      for (std::size_t i = 0; i < streams_.size() && good; ++i) {
        const CUresult result = d_.cuStreamQuery_(streams_[i].stream);
        busy = busy || result == CUDA_ERROR_NOT_READY;
        good = result == CUDA_ERROR_NOT_READY ? good : Check("cuStreamQuery", result);
      }
      if (!good || !busy) {
        return good;
      }
      if (SteadyClock::Instance().Now() >= deadline) {
        lost_ = "what it was asked to do does not end";
        return Fail(ErrorCode::kUnavailable, lost_);
      }
    }
    std::this_thread::sleep_for(kPoll);
  }
}

void CudaDeviceMemory::Unmap(const Extent& region) {
  if (region.fd >= 0) {
    close(region.fd);
  }
  region.mapping.Undo(d_, check_);
}

Result<DeviceMemory::Region> CudaDeviceMemory::Allocate(std::uint64_t bytes) {
  Extent region;
  region.mapping.bytes = bytes;
  {
    const MutexLock lock(mu_);
    Status good = Enter();
    good = good ? Map(region) : good;
    if (!good) {
      Unmap(region);
      return Fail(good.error());
    }
  }
  const Status zeroed = Drain(SteadyClock::Instance().Now() + limit_);
  const MutexLock lock(mu_);
  if (!zeroed) {
    close(region.fd);  // The rest stays: the device may be writing to it.
    return Fail(zeroed.error());
  }
  const std::uint32_t id = next_region_++;
  regions_.emplace(id, region);
  return Region{.id = id, .bytes = bytes, .handle = region.fd};
}

void CudaDeviceMemory::Release(std::uint32_t region) {
  const MutexLock lock(mu_);
  const auto it = regions_.find(region);
  if (it != regions_.end() && Enter()) {
    Unmap(it->second);
    regions_.erase(it);
  }
}

Result<std::span<std::byte>> CudaDeviceMemory::AllocateStaging(std::uint64_t bytes) {
  const MutexLock lock(mu_);
  Status good = Enter();
  void* memory = nullptr;
  good = good
             ? Check("cuMemHostAlloc", d_.cuMemHostAlloc_(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE))
             : good;
  if (!good) {
    return Fail(good.error());
  }
  staging_.push_back(memory);
  return std::span<std::byte>(static_cast<std::byte*>(memory), bytes);
}

void CudaDeviceMemory::ReleaseStaging(std::span<std::byte> staging) {
  const MutexLock lock(mu_);
  if (std::erase(staging_, staging.data()) != 0 && Enter()) {
    static_cast<void>(Check("cuMemFreeHost", d_.cuMemFreeHost_(staging.data())));
  }
}

Status CudaDeviceMemory::AllocateLists() {
  for (Stream& stream : streams_) {
    for (List& list : stream.lists) {
      void* memory = nullptr;
      const Status good = Check("cuMemHostAlloc",
                                d_.cuMemHostAlloc_(&memory, kMostMoves * sizeof(SmallCopier::Move),
                                                   CU_MEMHOSTALLOC_PORTABLE));
      if (!good) {
        return good;
      }
      staging_.push_back(memory);
      list.moves = static_cast<SmallCopier::Move*>(memory);
    }
  }
  return {};
}

DeviceMemory::SmallPiecesWay CudaDeviceMemory::SmallPieces() const {
  const MutexLock lock(mu_);
  return {.by_kernel = small_ != nullptr, .why_not = why_not_};
}

void CudaDeviceMemory::SetSwitch(std::uint64_t bytes) {
  const MutexLock lock(mu_);
  choice_.switch_bytes = bytes;
}

Status CudaDeviceMemory::CopyByEngine(const Stream& on, const SmallCopier::Move& move,
                                      bool to_device) {
  // A move has its addresses as numbers; one of them is of this process.
  // NOLINTBEGIN(performance-no-int-to-ptr)
  if (to_device) {
    return Check("cuMemcpyHtoDAsync",
                 d_.cuMemcpyHtoDAsync_(move.target, reinterpret_cast<const void*>(move.source),
                                       move.bytes, on.stream));
  }
  return Check("cuMemcpyDtoHAsync", d_.cuMemcpyDtoHAsync_(reinterpret_cast<void*>(move.target),
                                                          move.source, move.bytes, on.stream));
  // NOLINTEND(performance-no-int-to-ptr)
}

Status CudaDeviceMemory::CopySmall(Stream& on, const std::vector<SmallCopier::Move>& moves,
                                   bool to_device) {
  std::size_t done = 0;
  for (List& list : on.lists) {
    if (done == moves.size() || small_ == nullptr) {
      break;
    }
    if (list.busy_until > on.reached) {
      continue;
    }
    const std::size_t count = std::min(kMostMoves, moves.size() - done);
    std::copy_n(moves.begin() + static_cast<std::ptrdiff_t>(done), count, list.moves);
    list.busy_until = on.set + 1;  // Every batch is followed by a mark.
    const Status copied = small_->Copy(on.stream, std::span(list.moves, count));
    if (copied) {
      done += count;
      continue;
    }
    // A kernel that will not start is not the device's end: if it is, the copy engine tells.
    why_not_ = copied.error().message;
    small_.reset();
  }
  Status good;
  for (; done < moves.size() && good; ++done) {
    good = CopyByEngine(on, moves[done], to_device);
  }
  return good;
}

Status CudaDeviceMemory::Copy(int stream, std::uint32_t region, std::span<const Piece> pieces,
                              bool to_device) {
  const MutexLock lock(mu_);
  Status good = Enter();
  if (!good) {
    return good;
  }
  const CUdeviceptr base = regions_.at(region).mapping.address;
  Stream& on = streams_[static_cast<std::size_t>(stream)];
  const auto small = static_cast<std::size_t>(
      std::count_if(pieces.begin(), pieces.end(), [this](const Piece& piece) CAIRN_REQUIRES(mu_) {
        return choice_.Of(piece.host.size(), SIZE_MAX) == CopyWay::kKernel;
      }));
  std::vector<SmallCopier::Move> moves;
  for (const Piece& piece : pieces) {
    // Staging memory has one address for both, as all of cuMemHostAlloc where addresses are
    // unified, that is, everywhere with 64 bits.
    const auto here = reinterpret_cast<std::uint64_t>(piece.host.data());
    const std::uint64_t there = base + piece.offset;
    const SmallCopier::Move move{.source = to_device ? here : there,
                                 .target = to_device ? there : here,
                                 .bytes = piece.host.size()};
    if (small_ != nullptr && choice_.Of(move.bytes, small) == CopyWay::kKernel) {
      moves.push_back(move);
    } else if (good = CopyByEngine(on, move, to_device); !good) {
      return good;
    }
  }
  return CopySmall(on, moves, to_device);
}

Result<DeviceMemory::Mark> CudaDeviceMemory::SetMark(int stream) {
  const MutexLock lock(mu_);
  Status good = Enter();
  Stream& on = streams_[static_cast<std::size_t>(stream)];
  Event event;
  good = good ? Check("cuEventCreate", d_.cuEventCreate_(&event.event, CU_EVENT_DISABLE_TIMING))
              : good;
  good = good ? Check("cuEventRecord", d_.cuEventRecord_(event.event, on.stream)) : good;
  if (!good) {
    return Fail(good.error());
  }
  event.number = ++on.set;
  on.pending.push_back(event);
  return Mark{.stream = stream, .number = event.number};
}

Result<bool> CudaDeviceMemory::Reached(const Mark& mark) {
  const MutexLock lock(mu_);
  if (const Status good = Enter(); !good) {
    return Fail(good.error());
  }
  Stream& on = streams_[static_cast<std::size_t>(mark.stream)];
  while (on.reached < mark.number && !on.pending.empty()) {
    const Event oldest = on.pending.front();
    const CUresult result = d_.cuEventQuery_(oldest.event);
    if (result == CUDA_ERROR_NOT_READY) {
      return false;
    }
    if (const Status good = Check("cuEventQuery", result); !good) {
      return Fail(good.error());
    }
    on.reached = oldest.number;
    on.pending.pop_front();
    if (const Status good = Check("cuEventDestroy", d_.cuEventDestroy_(oldest.event)); !good) {
      return Fail(good.error());
    }
  }
  return on.reached >= mark.number;
}

Status CudaDeviceMemory::Wait(const Mark& mark, TimePoint deadline) {
  for (;;) {
    const auto reached = Reached(mark);
    if (!reached) {
      return Fail(reached.error());
    }
    if (*reached) {
      return {};
    }
    if (SteadyClock::Instance().Now() >= deadline) {
      const MutexLock lock(mu_);
      lost_ = lost_.empty() ? "a copy does not end" : lost_;
      return Fail(ErrorCode::kDeadlineExceeded, lost_);
    }
    std::this_thread::sleep_for(kPoll);
  }
}

Status CudaDeviceMemory::Health() {
  const MutexLock lock(mu_);
  if (const Status good = Enter(); !good) {
    return good;
  }
  // Errors of a GPU are sticky: any query of a stream tells.
  const CUresult result = d_.cuStreamQuery_(streams_[0].stream);
  return result == CUDA_ERROR_NOT_READY ? Status() : Check("cuStreamQuery", result);
}

}  // namespace

Result<std::unique_ptr<DeviceMemory>> OpenCudaDevice(CudaDeviceOptions options) {
  const auto driver = LoadCudaDriver();
  if (!driver) {
    return Fail(driver.error());
  }
  const int device = options.device;
  auto memory = std::make_unique<CudaDeviceMemory>(*driver, std::move(options));
  if (const Status opened = memory->Open(device); !opened) {
    return Fail(opened.error());
  }
  return memory;
}

}  // namespace cairn

#endif

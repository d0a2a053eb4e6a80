#include "libcache/connector/cuda_device_port.h"

#ifndef CAIRN_WITH_CUDA

namespace cairn {

Result<std::unique_ptr<DevicePort>> OpenCudaPort(const CudaPortOptions&) {
  return Fail(ErrorCode::kUnsupported,
              "this libcairn was built without CUDA's headers; ./dev setup --cuda installs "
              "them, then build again");
}

}  // namespace cairn

#else

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/cuda/driver.h"
#include "libcache/cuda/mapping.h"

namespace cairn {
namespace {

// A wait spins at first, since most copies are over by then, and then looks so often. Waiting in
// the driver itself has no deadline.
constexpr std::chrono::microseconds kSpin{50};
constexpr std::chrono::microseconds kPoll{20};
// Pinning memory takes about a millisecond for each 4 MiB, so it is asked for in large steps.
constexpr std::uint64_t kStagingStep = 4 * kMiB;

class CudaDevicePort final : public DevicePort {
 public:
  explicit CudaDevicePort(const CudaDriver& driver) : d_(driver) {}
  ~CudaDevicePort() override;
  CudaDevicePort(const CudaDevicePort&) = delete;
  CudaDevicePort& operator=(const CudaDevicePort&) = delete;

  Status Open(const CudaPortOptions& options);

  Status Accepts(const DeviceIdentity& device) override;
  Result<std::uint64_t> Map(int fd, std::uint64_t bytes) override;
  void Unmap(std::uint64_t mapping) override;
  Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
              std::uint64_t target, TimePoint deadline) override;
  Status CopyFromHost(std::span<const std::byte> bytes, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) override;
  Result<std::span<std::byte>> Staging(std::uint64_t bytes, TimePoint deadline) override;
  /// Ends what had to wait for the copy too.
  Status Settle(TimePoint deadline) override;
  [[nodiscard]] Status Health() const override {
    return lost_.empty() ? Status() : Fail(ErrorCode::kUnavailable, lost_);
  }

 private:
  /// Makes the context current for a scope. The engine's own is put back. What is called meanwhile
  /// leaves a capture alone (of a CUDA graph) that another thread of the engine's has under way.
  class InContext {
   public:
    explicit InContext(CudaDevicePort& port) : port_(port) {
      entered_ = port.Check("cuCtxPushCurrent", port.d_.cuCtxPushCurrent_(port.context_));
      pushed_ = entered_.has_value();
      if (pushed_) {
        entered_ = ExchangeMode();
        exchanged_ = entered_.has_value();
      }
    }
    ~InContext() {
      CUcontext popped = nullptr;
      if (exchanged_) {
        static_cast<void>(ExchangeMode());
      }
      if (pushed_) {
        static_cast<void>(port_.Check("cuCtxPopCurrent", port_.d_.cuCtxPopCurrent_(&popped)));
      }
    }
    InContext(const InContext&) = delete;
    InContext& operator=(const InContext&) = delete;
    [[nodiscard]] const Status& entered() const { return entered_; }

   private:
    Status ExchangeMode() {
      return port_.Check("cuThreadExchangeStreamCaptureMode",
                         port_.d_.cuThreadExchangeStreamCaptureMode_(&mode_));
    }

    CudaDevicePort& port_;
    Status entered_;
    CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;  // Then the thread's own.
    bool pushed_ = false;
    bool exchanged_ = false;
  };

  Status Check(const char* call, CUresult result);
  Status Start(const CudaPortOptions& options);
  Status OpenStream(void* given, int ordinal);
  /// The engine's stream can take copies: it is of this device, and not being captured.
  Status CheckContext(int ordinal);
  Status CheckNotCaptured();
  /// Gives back all but the context; what it reads must be free of copies.
  void Free();
  Status MapNow(int fd, CudaMapping& region);
  /// The number of the daemon's device in this process, if it is visible here.
  Result<int> Find(const DeviceIdentity& device);
  /// Waits for what was queued so far. Past the deadline it stays pending.
  Status Finish(TimePoint deadline);
  /// `queue` queues one copy and says what the driver said.
  template <class Queue>
  Status Run(const char* call, const Queue& queue, TimePoint deadline);

  const CudaDriver d_;
  const CudaCheck check_ = [this](const char* call, CUresult result) {
    return Check(call, result);
  };
  CUdevice device_ = 0;
  std::string id_;
  std::string name_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  bool own_stream_ = false;
  CUevent event_ = nullptr;
  bool pending_ = false;   // A copy may be under way; ...
  bool recorded_ = false;  // ... event_ says, or, without that, the whole stream.
  std::string lost_;
  std::map<std::uint64_t, CudaMapping> mappings_;
  // A copy that is pending may read them; and to end them may take the driver a while, so that only
  // calls with a deadline do.
  std::vector<CudaMapping> unmap_later_;
  std::vector<void*> free_later_;
  std::uint64_t next_ = 1;
  std::span<std::byte> staging_;
};

Status CudaDevicePort::Check(const char* call, CUresult result) {
  if (result == CUDA_SUCCESS) {
    return {};
  }
  const std::string why = d_.Explain(call, result);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    return Fail(ErrorCode::kNoSpace, why);
  }
  if (result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED && result <= CUDA_ERROR_CAPTURED_EVENT) {
    // The engine's doing, and over with its capture.
    return Fail(ErrorCode::kInvalidArgument, "stream: is being captured: " + why);
  }
  lost_ = lost_.empty() ? why : lost_;
  return Fail(ErrorCode::kUnavailable, why);
}

Status CudaDevicePort::Open(const CudaPortOptions& options) {
  Status started = Start(options);
  if (!started && context_ != nullptr) {
    Free();
    static_cast<void>(d_.cuDevicePrimaryCtxRelease_(device_));
    context_ = nullptr;
  }
  return started;
}

Status CudaDevicePort::Start(const CudaPortOptions& options) {
  Status good = Check("cuInit", d_.cuInit_(0));
  int count = 0;
  good = good ? Check("cuDeviceGetCount", d_.cuDeviceGetCount_(&count)) : good;
  if (good && (options.device < 0 || options.device >= count)) {
    return Fail(ErrorCode::kNotFound, "there is no GPU " + std::to_string(options.device) +
                                          " in this process, which sees " + std::to_string(count));
  }
  good = good ? Check("cuDeviceGet", d_.cuDeviceGet_(&device_, options.device)) : good;
  char name[128] = {};
  good =
      good ? Check("cuDeviceGetName", d_.cuDeviceGetName_(name, sizeof(name) - 1, device_)) : good;
  name_ = name;
  if (good) {
    CUresult named = CUDA_SUCCESS;
    id_ = d_.IdOf(device_, named);
    good = Check("cuDeviceGetUuid", named);
  }
  good = good ? Check("cuDevicePrimaryCtxRetain", d_.cuDevicePrimaryCtxRetain_(&context_, device_))
              : good;
  return good ? OpenStream(options.stream, options.device) : good;
}

Status CudaDevicePort::OpenStream(void* given, int ordinal) {
  const InContext context(*this);
  Status good = context.entered();
  if (given != nullptr) {
    stream_ = static_cast<CUstream>(given);
    good = good ? CheckContext(ordinal) : good;
    good = good ? CheckNotCaptured() : good;
  } else {
    good =
        good ? Check("cuStreamCreate", d_.cuStreamCreate_(&stream_, CU_STREAM_NON_BLOCKING)) : good;
    own_stream_ = good.has_value();
  }
  return good ? Check("cuEventCreate", d_.cuEventCreate_(&event_, CU_EVENT_DISABLE_TIMING)) : good;
}

Status CudaDevicePort::CheckContext(int ordinal) {
  CUcontext of = nullptr;
  const CUresult asked = d_.cuStreamGetCtx_(stream_, &of);
  if (asked == CUDA_SUCCESS && of == context_) {
    return {};
  }
  const std::string what =
      "stream: is not one of GPU " + std::to_string(ordinal) + "'s primary context";
  return Fail(ErrorCode::kInvalidArgument,
              asked == CUDA_SUCCESS ? what : what + ": " + d_.Explain("cuStreamGetCtx", asked));
}

Status CudaDevicePort::CheckNotCaptured() {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  Status asked = Check("cuStreamIsCapturing", d_.cuStreamIsCapturing_(stream_, &status));
  if (asked && status != CU_STREAM_CAPTURE_STATUS_NONE) {
    return Fail(ErrorCode::kInvalidArgument,
                "stream: is being captured: attach and load before or after that");
  }
  return asked;
}

CudaDevicePort::~CudaDevicePort() {
  if (context_ == nullptr) {
    return;
  }
  // A lost device's driver may never answer, and memory that is read may not go. The process's end
  // cleans up.
  if (pending_) {
    const InContext context(*this);
    static_cast<void>(Finish(SteadyClock::Instance().Now()));
  }
  if (lost_.empty() && !pending_) {
    Free();
  }
  if (lost_.empty() && !pending_) {
    static_cast<void>(d_.cuDevicePrimaryCtxRelease_(device_));
  }
}

void CudaDevicePort::Free() {
  const InContext context(*this);
  if (!context.entered()) {
    return;
  }
  for (const auto& [number, mapped] : mappings_) {
    mapped.Undo(d_, check_);
  }
  for (const CudaMapping& region : unmap_later_) {
    region.Undo(d_, check_);
  }
  if (!staging_.empty()) {
    free_later_.push_back(staging_.data());
  }
  for (void* const memory : free_later_) {
    static_cast<void>(Check("cuMemFreeHost", d_.cuMemFreeHost_(memory)));
  }
  if (event_ != nullptr) {
    static_cast<void>(Check("cuEventDestroy", d_.cuEventDestroy_(event_)));
  }
  if (own_stream_) {
    static_cast<void>(Check("cuStreamDestroy", d_.cuStreamDestroy_(stream_)));
  }
}

Result<int> CudaDevicePort::Find(const DeviceIdentity& device) {
  int count = 0;
  Status good = Check("cuDeviceGetCount", d_.cuDeviceGetCount_(&count));
  for (int i = 0; i < count && good; ++i) {
    CUdevice other = 0;
    good = Check("cuDeviceGet", d_.cuDeviceGet_(&other, i));
    CUresult named = CUDA_SUCCESS;
    if (good && d_.IdOf(other, named) == device.id) {
      return other;
    }
    good = good ? Check("cuDeviceGetUuid", named) : good;
  }
  if (!good) {
    return Fail(good.error());
  }
  return Fail(ErrorCode::kUnsupported,
              "the daemon's GPU memory is on " + device.name + ", " + device.id +
                  ", which this process does not see; its own is " + name_ + ", " + id_ +
                  ": start cairnd with --gpu-device of that one, or let the engine see both "
                  "(CUDA_VISIBLE_DEVICES)");
}

Status CudaDevicePort::Accepts(const DeviceIdentity& device) {
  if (device.kind != "cuda") {
    return Fail(ErrorCode::kUnsupported, "the daemon's device is of another kind (" + device.kind +
                                             "): an NVIDIA GPU cannot map its memory");
  }
  if (Status well = Health(); !well) {
    return well;
  }
  if (device.id.empty() || device.id == id_) {
    return {};  // A daemon that does not say: the import tells.
  }
  const auto other = Find(device);
  if (!other) {
    return Fail(other.error());
  }
  int can = 0;
  Status asked = Check("cuDeviceCanAccessPeer", d_.cuDeviceCanAccessPeer_(&can, device_, *other));
  if (asked && can == 0) {
    return Fail(ErrorCode::kUnsupported,
                "the daemon's GPU memory is on " + device.name + ", " + device.id + ", and " +
                    name_ + ", " + id_ +
                    ", cannot access it as a peer: start cairnd with --gpu-device of "
                    "the engine's, or a daemon for each");
  }
  return asked;
}

Status CudaDevicePort::MapNow(int fd, CudaMapping& region) {
  // CUDA takes a descriptor where other platforms have a handle.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  auto* const handle = reinterpret_cast<void*>(static_cast<std::intptr_t>(fd));
  Status good = Check("cuMemImportFromShareableHandle",
                      d_.cuMemImportFromShareableHandle_(&region.handle, handle,
                                                         CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  region.held = good.has_value();
  good = good ? region.Place(d_, check_) : good;
  CUmemAccessDesc access{};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.location.id = device_;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
  if (!good) {
    return good;
  }
  CUresult set = d_.cuMemSetAccess_(region.address, region.bytes, &access, 1);
  if (set == CUDA_ERROR_NOT_SUPPORTED || set == CUDA_ERROR_INVALID_VALUE) {
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;  // Not all drivers know the other.
    set = d_.cuMemSetAccess_(region.address, region.bytes, &access, 1);
  }
  return Check("cuMemSetAccess", set);
}

Result<std::uint64_t> CudaDevicePort::Map(int fd, std::uint64_t bytes) {
  if (Status well = Health(); !well) {
    return Fail(well.error());
  }
  const InContext context(*this);
  CudaMapping region;
  region.bytes = bytes;
  const Status good = context.entered() ? MapNow(fd, region) : context.entered();
  if (!good) {
    region.Undo(d_, check_);
    return Fail(good.error());
  }
  mappings_.emplace(next_, region);
  return next_++;
}

void CudaDevicePort::Unmap(std::uint64_t mapping) {
  const auto it = mappings_.find(mapping);
  if (it == mappings_.end()) {
    return;
  }
  unmap_later_.push_back(it->second);
  mappings_.erase(it);
}

Status CudaDevicePort::Finish(TimePoint deadline) {
  if (!recorded_) {  // To ask after a stream that is being captured ends the capture.
    if (Status free = CheckNotCaptured(); !free) {
      return free;
    }
  }
  const TimePoint begin = SteadyClock::Instance().Now();
  for (;;) {
    const CUresult result = recorded_ ? d_.cuEventQuery_(event_) : d_.cuStreamQuery_(stream_);
    if (result != CUDA_ERROR_NOT_READY) {
      // After any other error it is not known what the device still does.
      pending_ = result != CUDA_SUCCESS;
      return Check(recorded_ ? "cuEventQuery" : "cuStreamQuery", result);
    }
    const TimePoint now = SteadyClock::Instance().Now();
    if (now >= deadline) {
      return Fail(ErrorCode::kDeadlineExceeded, "a copy on the GPU is not done in time");
    }
    if (now - begin > kSpin) {
      std::this_thread::sleep_for(kPoll);
    }
  }
}

Status CudaDevicePort::Settle(TimePoint deadline) {
  const InContext context(*this);
  Status good = context.entered();
  good = good && pending_ ? Finish(deadline) : good;
  while (good && lost_.empty() && !(unmap_later_.empty() && free_later_.empty())) {
    if (!unmap_later_.empty()) {
      const CudaMapping region = unmap_later_.back();
      unmap_later_.pop_back();
      region.Undo(d_, check_);
    } else {
      void* const memory = free_later_.back();
      free_later_.pop_back();
      static_cast<void>(Check("cuMemFreeHost", d_.cuMemFreeHost_(memory)));
    }
    if (SteadyClock::Instance().Now() >= deadline) {
      return Fail(ErrorCode::kDeadlineExceeded, "the driver took too long to give memory back");
    }
  }
  return good;
}

template <class Queue>
Status CudaDevicePort::Run(const char* call, const Queue& queue, TimePoint deadline) {
  if (Status settled = Settle(deadline); !settled) {
    return settled;
  }
  const InContext context(*this);
  Status good = context.entered();
  good = good && !own_stream_ ? CheckNotCaptured() : good;
  good = good ? Check(call, queue()) : good;
  if (!good) {
    return good;
  }
  pending_ = true;
  recorded_ = false;  // Until it is, the event says "done" of the copy before.
  good = Check("cuEventRecord", d_.cuEventRecord_(event_, stream_));
  recorded_ = good.has_value();
  return good ? Finish(deadline) : good;
}

Status CudaDevicePort::Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
                            std::uint64_t target, TimePoint deadline) {
  if (Status well = Health(); !well) {
    return well;
  }
  const auto it = mappings_.find(mapping);
  if (it == mappings_.end() || offset > it->second.bytes ||
      object.bytes > it->second.bytes - offset) {
    return Fail(ErrorCode::kInvalidArgument, "the object does not lie in a mapping");
  }
  return Run(
      "cuMemcpyDtoDAsync",
      [&] {
        return d_.cuMemcpyDtoDAsync_(target, it->second.address + offset, object.bytes, stream_);
      },
      deadline);
}

Status CudaDevicePort::CopyFromHost(std::span<const std::byte> bytes, const ObjectView&,
                                    std::uint64_t target, TimePoint deadline) {
  return Run(
      "cuMemcpyHtoDAsync",
      [&] { return d_.cuMemcpyHtoDAsync_(target, bytes.data(), bytes.size(), stream_); }, deadline);
}

Result<std::span<std::byte>> CudaDevicePort::Staging(std::uint64_t bytes, TimePoint deadline) {
  if (Status settled = Settle(deadline); !settled) {  // It may be what a copy reads.
    return Fail(settled.error());
  }
  if (staging_.size() >= bytes) {
    return staging_;
  }
  const InContext context(*this);
  Status good = context.entered();
  void* memory = nullptr;
  const std::uint64_t size = RoundUp(bytes, kStagingStep);
  good = good ? Check("cuMemHostAlloc", d_.cuMemHostAlloc_(&memory, size, CU_MEMHOSTALLOC_PORTABLE))
              : good;
  if (!good) {
    return Fail(good.error());
  }
  const std::span old = std::exchange(staging_, {static_cast<std::byte*>(memory), size});
  if (!old.empty()) {
    free_later_.push_back(old.data());
  }
  if (Status freed = Settle(deadline); !freed) {
    return Fail(freed.error());
  }
  return staging_;
}

}  // namespace

Result<std::unique_ptr<DevicePort>> OpenCudaPort(const CudaPortOptions& options) {
  const auto driver = LoadCudaDriver();
  if (!driver) {
    return Fail(driver.error());
  }
  auto port = std::make_unique<CudaDevicePort>(*driver);
  if (const Status opened = port->Open(options); !opened) {
    return Fail(opened.error());
  }
  return port;
}

}  // namespace cairn

#endif

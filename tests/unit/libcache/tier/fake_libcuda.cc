// A stand-in for NVIDIA's driver: its memory is host memory, its copies are done when they are
// asked for, or, where it is told to hang, when something is asked after it no longer does. It is
// strict about order and arguments where the real one is, and keeps count.
#include "tests/unit/libcache/tier/fake_libcuda.h"

#include <cuda.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

extern "C" __attribute__((visibility("default"))) FakeCuda fake_cuda;
FakeCuda fake_cuda;

namespace {

constexpr std::size_t kGranularity = std::size_t{2} << 20U;
std::map<CUmemGenericAllocationHandle, std::size_t> allocated;  // By descriptor.
std::map<CUdeviceptr, std::size_t> reserved;
std::map<CUdeviceptr, std::size_t> mapped;
struct Access {
  std::size_t bytes = 0;
  int device = 0;  // The one that has it.
};
std::map<CUdeviceptr, Access> accessible;
std::set<CUmemGenericAllocationHandle> fresh;  // Nobody has access yet.
std::map<CUdeviceptr, CUmemGenericAllocationHandle> behind;
// A device's primary context. Its address is the handle.
struct Context {
  int retained = 0;
};
std::array<Context, 8> primary;
struct Stream {
  CUcontext context = nullptr;
  std::deque<std::function<void()>> queue;
  std::uint64_t asked = 0;  // So many things were queued since the start,
  std::uint64_t done = 0;   // and so many of them are done.
};
std::map<CUstream, Stream> streams;
// What was queued on a stream when it was recorded; of none before that, as the real one.
struct Event {
  CUstream stream = nullptr;
  std::uint64_t position = 0;
};
std::map<CUevent, Event> events;
/// A lost device's is never given back, and goes with the driver.
struct Staging : std::set<void*> {
  ~Staging() {
    for (void* const memory : *this) {
      std::free(memory);
    }
  }
};
Staging staging;
bool initialised = false;
thread_local CUcontext current = nullptr;
thread_local std::vector<CUcontext> below;  // Of the stack of contexts, under the current one.
thread_local CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

CUresult Verdict(std::string_view call) {
  if (call.ends_with("_v2")) {  // By a macro of cuda.h's.
    call.remove_suffix(3);
  }
  if (fake_cuda.fail_call != nullptr && call == fake_cuda.fail_call &&
      fake_cuda.fail_after-- <= 0) {
    return static_cast<CUresult>(fake_cuda.fail_with);
  }
  if (fake_cuda.slow_call != nullptr && call == fake_cuda.slow_call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(fake_cuda.slow_ms));
  }
  if (!initialised && call != "cuInit") {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  return CUDA_SUCCESS;
}

int DeviceOf(CUcontext context) {
  return static_cast<int>(reinterpret_cast<Context*>(context) - primary.data());
}

bool Reachable(int device, CUdeviceptr address, std::size_t bytes) {
  const auto engine = reinterpret_cast<CUdeviceptr>(fake_cuda.engine_memory);
  if (address >= engine && address + bytes <= engine + fake_cuda.engine_bytes) {
    return true;
  }
  auto it = accessible.upper_bound(address);
  if (it == accessible.begin()) {
    return false;
  }
  --it;
  return it->second.device == device && address + bytes <= it->first + it->second.bytes;
}

void* Pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

using Time = std::chrono::steady_clock::time_point;
Time hang_end = Time::max();

bool Hanging() {
  if (!fake_cuda.hang || std::chrono::steady_clock::now() >= hang_end) {
    fake_cuda.hang = false;
    hang_end = Time::max();
  }
  return fake_cuda.hang;
}

void Progress() {
  const bool hanging = Hanging();
  for (auto& [handle, stream] : streams) {
    while (!hanging && !stream.queue.empty()) {
      stream.queue.front()();
      stream.queue.pop_front();
      ++stream.done;
    }
  }
}

CUresult Queue(CUstream stream, std::function<void()> work) {
  const auto it = streams.find(stream);
  if (it == streams.end()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (stream == fake_cuda.capturing) {
    ++fake_cuda.captured;  // A part of the graph, and not done now.
    return CUDA_SUCCESS;
  }
  it->second.queue.push_back(std::move(work));
  ++it->second.asked;
  Progress();
  return CUDA_SUCCESS;
}

/// A copy within what the stream's device may touch, when it is asked for and when it is done.
CUresult QueueCopy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream,
                   bool to_device, bool from_device) {
  const auto it = streams.find(stream);
  if (it == streams.end()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const auto allowed = [=, device = DeviceOf(it->second.context)] {
    return (!to_device || Reachable(device, to, bytes)) &&
           (!from_device || Reachable(device, from, bytes));
  };
  if (!allowed()) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  if (std::exchange(fake_cuda.hang_at_copy, false)) {
    fake_cuda.hang = true;
    hang_end = fake_cuda.hang_ms == 0 ? Time::max()
                                      : std::chrono::steady_clock::now() +
                                            std::chrono::milliseconds(fake_cuda.hang_ms);
  }
  fake_cuda.last_stream = stream;
  ++fake_cuda.copies;
  return Queue(stream, [=] {
    if (allowed()) {
      std::memcpy(Pointer(to), Pointer(from), bytes);
    } else {
      ++fake_cuda.faults;
    }
  });
}

}  // namespace

#define CAIRN_VERDICT(call)                                               \
  if (const CUresult verdict = Verdict(#call); verdict != CUDA_SUCCESS) { \
    return verdict;                                                       \
  }
#define CAIRN_IN_CONTEXT(call)         \
  CAIRN_VERDICT(call)                  \
  if (current == nullptr) {            \
    return CUDA_ERROR_INVALID_CONTEXT; \
  }

// What breaks a capture in the global mode of another thread, but for threads that opted out.
#define CAIRN_NOT_IN_A_CAPTURE(call)                                                  \
  CAIRN_IN_CONTEXT(call)                                                              \
  if (fake_cuda.capture_elsewhere && capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL) { \
    ++fake_cuda.captures_broken;                                                      \
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;                                     \
  }

extern "C" {

__attribute__((visibility("default"))) void fake_cuda_forget() {
  for (auto& [handle, stream] : streams) {
    stream.done = stream.asked;
    stream.queue.clear();
  }
}
__attribute__((visibility("default"))) int fake_cuda_context_depth() {
  return static_cast<int>(below.size());
}

CUresult cuInit(unsigned int flags) {
  CAIRN_VERDICT(cuInit)
  initialised = true;
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorName(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_ECC_UNCORRECTABLE ? "CUDA_ERROR_ECC_UNCORRECTABLE" : nullptr;
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_ECC_UNCORRECTABLE ? "uncorrectable ECC error" : nullptr;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  CAIRN_VERDICT(cuDeviceGet)
  *device = ordinal;
  return ordinal >= 0 && ordinal < fake_cuda.devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceGetCount(int* count) {
  CAIRN_VERDICT(cuDeviceGetCount)
  *count = fake_cuda.devices;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  CAIRN_VERDICT(cuDeviceGetUuid)
  std::memset(uuid->bytes, fake_cuda.first_uuid + device, sizeof(uuid->bytes));
  return CUDA_SUCCESS;
}
CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  CAIRN_VERDICT(cuDeviceCanAccessPeer)
  *can = fake_cuda.peers && device == fake_cuda.peer_from && peer == fake_cuda.peer_to ? 1 : 0;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char* name, int length, CUdevice) {
  CAIRN_VERDICT(cuDeviceGetName)
  std::strncpy(name, "Stand-in", static_cast<std::size_t>(length));
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  CAIRN_VERDICT(cuDeviceGetAttribute)
  *value = attribute == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED ||
                   attribute == CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED
               ? 1
               : 0;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  CAIRN_VERDICT(cuDevicePrimaryCtxRetain)
  Context& of = primary.at(static_cast<std::size_t>(device));
  *context = reinterpret_cast<CUcontext>(&of);
  ++of.retained;
  ++fake_cuda.contexts;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  CAIRN_VERDICT(cuDevicePrimaryCtxRelease)
  Context& of = primary.at(static_cast<std::size_t>(device));
  --fake_cuda.contexts;
  if (--of.retained == 0 && current == reinterpret_cast<CUcontext>(&of)) {
    current = nullptr;
  }
  return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext* context) {
  CAIRN_VERDICT(cuCtxGetCurrent)
  *context = current;
  return CUDA_SUCCESS;
}
CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  CAIRN_VERDICT(cuThreadExchangeStreamCaptureMode)
  std::swap(*mode, capture_mode);
  return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context) {
  CAIRN_VERDICT(cuCtxSetCurrent)
  current = context;
  return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) {
  CAIRN_VERDICT(cuCtxPushCurrent)
  below.push_back(current);
  current = context;
  return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext* context) {
  CAIRN_VERDICT(cuCtxPopCurrent)
  if (below.empty()) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  *context = current;
  current = below.back();
  below.pop_back();
  return CUDA_SUCCESS;
}
CUresult cuMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  CAIRN_IN_CONTEXT(cuMemGetInfo)
  *free_bytes = kGranularity;
  *total_bytes = 2 * kGranularity;
  return CUDA_SUCCESS;
}
CUresult cuMemGetAllocationGranularity(std::size_t* granularity, const CUmemAllocationProp* wanted,
                                       CUmemAllocationGranularity_flags) {
  CAIRN_VERDICT(cuMemGetAllocationGranularity)
  *granularity = kGranularity;
  return wanted->type == CU_MEM_ALLOCATION_TYPE_PINNED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                     const CUmemAllocationProp* wanted, unsigned long long flags) {
  CAIRN_IN_CONTEXT(cuMemCreate)
  if (bytes % kGranularity != 0 || flags != 0 || wanted->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
      wanted->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
      wanted->requestedHandleTypes != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int fd = memfd_create("fake-cuda", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *handle = static_cast<CUmemGenericAllocationHandle>(fd);
  allocated[*handle] = bytes;
  fresh.insert(*handle);
  ++fake_cuda.allocations;
  return CUDA_SUCCESS;
}
CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shared,
                                        CUmemAllocationHandleType type) {
  CAIRN_IN_CONTEXT(cuMemImportFromShareableHandle)
  const int fd = dup(static_cast<int>(reinterpret_cast<std::intptr_t>(shared)));
  struct stat about {};
  if (fd < 0 || fstat(fd, &about) != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *handle = static_cast<CUmemGenericAllocationHandle>(fd);
  allocated[*handle] = static_cast<std::size_t>(about.st_size);
  ++fake_cuda.allocations;
  ++fake_cuda.imports;
  return CUDA_SUCCESS;
}
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  CAIRN_IN_CONTEXT(cuMemRelease)
  if (allocated.erase(handle) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  close(static_cast<int>(handle));
  --fake_cuda.allocations;
  return CUDA_SUCCESS;
}
CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t, CUdeviceptr,
                             unsigned long long) {
  CAIRN_IN_CONTEXT(cuMemAddressReserve)
  void* const at = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *address = reinterpret_cast<CUdeviceptr>(at);
  reserved[*address] = bytes;
  ++fake_cuda.reservations;
  return CUDA_SUCCESS;
}
CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  CAIRN_IN_CONTEXT(cuMemAddressFree)
  const auto it = reserved.find(address);
  if (it == reserved.end() || it->second != bytes || mapped.count(address) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  munmap(Pointer(address), bytes);
  reserved.erase(it);
  --fake_cuda.reservations;
  return CUDA_SUCCESS;
}
CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long) {
  CAIRN_NOT_IN_A_CAPTURE(cuMemMap)
  if (reserved.count(address) == 0 || allocated.count(handle) == 0 || offset != 0 ||
      bytes > allocated[handle]) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (mmap(Pointer(address), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
           static_cast<int>(handle), 0) == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  mapped[address] = bytes;
  behind[address] = handle;
  ++fake_cuda.mappings;
  return CUDA_SUCCESS;
}
CUresult cuMemUnmap(CUdeviceptr address, std::size_t) {
  CAIRN_NOT_IN_A_CAPTURE(cuMemUnmap)
  accessible.erase(address);
  if (mapped.erase(address) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  --fake_cuda.mappings;
  return CUDA_SUCCESS;
}
CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* access,
                        std::size_t count) {
  CAIRN_IN_CONTEXT(cuMemSetAccess)
  if (mapped.count(address) == 0 || count != 1 ||
      access->location.type != CU_MEM_LOCATION_TYPE_DEVICE || access->location.id < 0 ||
      access->location.id >= fake_cuda.devices) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (access->flags == CU_MEM_ACCESS_FLAGS_PROT_READ) {
    if (!fake_cuda.read_only) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    mprotect(Pointer(address), bytes, PROT_READ);
  } else if (access->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (fresh.erase(behind[address]) != 0) {
    std::memset(Pointer(address), 0xAB, bytes);  // As if somebody had left something there.
  }
  accessible[address] = {.bytes = bytes, .device = access->location.id};
  return CUDA_SUCCESS;
}
CUresult cuMemExportToShareableHandle(void* shared, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long) {
  CAIRN_IN_CONTEXT(cuMemExportToShareableHandle)
  if (allocated.count(handle) == 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *static_cast<int*>(shared) = dup(static_cast<int>(handle));
  return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void** memory, std::size_t bytes, unsigned int) {
  CAIRN_NOT_IN_A_CAPTURE(cuMemHostAlloc)
  *memory = std::malloc(bytes);
  staging.insert(*memory);
  ++fake_cuda.staging;
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* memory) {
  CAIRN_NOT_IN_A_CAPTURE(cuMemFreeHost)
  if (staging.erase(memory) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::free(memory);
  --fake_cuda.staging;
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, std::size_t bytes,
                         CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemsetD8Async)
  if (!Reachable(DeviceOf(current), address, bytes)) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  return Queue(stream, [=] { std::memset(Pointer(address), value, bytes); });
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemcpyHtoDAsync)
  return QueueCopy(to, reinterpret_cast<CUdeviceptr>(from), bytes, stream, true, false);
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemcpyDtoDAsync)
  return QueueCopy(to, from, bytes, stream, true, true);
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemcpyDtoHAsync)
  return QueueCopy(reinterpret_cast<CUdeviceptr>(to), from, bytes, stream, false, true);
}
CUresult cuStreamCreate(CUstream* stream, unsigned int) {
  CAIRN_IN_CONTEXT(cuStreamCreate)
  static std::uintptr_t made = 0x1000;  // Above the handles that have a meaning of their own.
  *stream = reinterpret_cast<CUstream>(++made);
  streams[*stream].context = current;
  ++fake_cuda.streams;
  return CUDA_SUCCESS;
}
CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
  CAIRN_IN_CONTEXT(cuStreamGetCtx)
  const auto it = streams.find(stream);
  if (it == streams.end()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *context = it->second.context;
  return CUDA_SUCCESS;
}
CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  CAIRN_IN_CONTEXT(cuStreamIsCapturing)
  *status = stream == fake_cuda.capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                          : CU_STREAM_CAPTURE_STATUS_NONE;
  return streams.count(stream) == 0 ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}
CUresult cuStreamQuery(CUstream stream) {
  CAIRN_NOT_IN_A_CAPTURE(cuStreamQuery)
  Progress();
  const auto it = streams.find(stream);
  if (it == streams.end()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  return it->second.queue.empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuStreamDestroy(CUstream stream) {
  CAIRN_IN_CONTEXT(cuStreamDestroy)
  if (streams.erase(stream) == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  --fake_cuda.streams;
  return CUDA_SUCCESS;
}
CUresult cuEventCreate(CUevent* event, unsigned int) {
  CAIRN_IN_CONTEXT(cuEventCreate)
  static std::uintptr_t made = 0x1000;
  *event = reinterpret_cast<CUevent>(++made);
  events[*event] = {};
  ++fake_cuda.events;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  CAIRN_IN_CONTEXT(cuEventRecord)
  const CUresult queued = Queue(stream, [] {});
  if (queued == CUDA_SUCCESS) {
    events.at(event) = {.stream = stream, .position = streams.at(stream).asked};
  }
  return queued;
}
CUresult cuEventQuery(CUevent event) {
  CAIRN_NOT_IN_A_CAPTURE(cuEventQuery)
  Progress();
  const Event& recorded = events.at(event);
  const auto it = streams.find(recorded.stream);
  return it == streams.end() || it->second.done >= recorded.position ? CUDA_SUCCESS
                                                                     : CUDA_ERROR_NOT_READY;
}
CUresult cuEventDestroy(CUevent event) {
  CAIRN_IN_CONTEXT(cuEventDestroy)
  if (events.erase(event) == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  --fake_cuda.events;
  return CUDA_SUCCESS;
}

}  // extern "C"

// A stand-in for NVIDIA's driver: its memory is host memory, its copies are done when they are
// asked for. It is strict about order and arguments where the real one is, and keeps count.
#include "tests/unit/libcache/tier/fake_libcuda.h"

#include <cuda.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string_view>
#include <vector>

extern "C" __attribute__((visibility("default"))) FakeCuda fake_cuda;
FakeCuda fake_cuda;

namespace {

constexpr std::size_t kGranularity = std::size_t{2} << 20U;
std::map<CUmemGenericAllocationHandle, std::size_t> allocated;  // By descriptor.
std::map<CUdeviceptr, std::size_t> reserved;
std::map<CUdeviceptr, std::size_t> mapped;
std::map<CUdeviceptr, std::size_t> accessible;
std::set<CUmemGenericAllocationHandle> fresh;  // Nobody has access yet.
std::map<CUdeviceptr, CUmemGenericAllocationHandle> behind;
std::set<CUstream> streams;
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

CUresult Verdict(std::string_view call) {
  if (call.ends_with("_v2")) {  // By a macro of cuda.h's.
    call.remove_suffix(3);
  }
  if (fake_cuda.fail_call != nullptr && call == fake_cuda.fail_call &&
      fake_cuda.fail_after-- <= 0) {
    return static_cast<CUresult>(fake_cuda.fail_with);
  }
  if (!initialised && call != "cuInit") {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  return CUDA_SUCCESS;
}

bool Reachable(CUdeviceptr address, std::size_t bytes) {
  const auto engine = reinterpret_cast<CUdeviceptr>(fake_cuda.engine_memory);
  if (address >= engine && address + bytes <= engine + fake_cuda.engine_bytes) {
    return true;
  }
  auto it = accessible.upper_bound(address);
  if (it == accessible.begin()) {
    return false;
  }
  --it;
  return address + bytes <= it->first + it->second;
}

void* Pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

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

extern "C" {

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
CUresult cuDeviceCanAccessPeer(int* can, CUdevice, CUdevice) {
  CAIRN_VERDICT(cuDeviceCanAccessPeer)
  *can = fake_cuda.peers ? 1 : 0;
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
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  CAIRN_VERDICT(cuDevicePrimaryCtxRetain)
  *context = reinterpret_cast<CUcontext>(&fake_cuda);
  ++fake_cuda.contexts;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  CAIRN_VERDICT(cuDevicePrimaryCtxRelease)
  --fake_cuda.contexts;
  current = nullptr;
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
  CAIRN_IN_CONTEXT(cuMemMap)
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
  CAIRN_IN_CONTEXT(cuMemUnmap)
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
  if (mapped.count(address) == 0 || count != 1) {
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
  accessible[address] = bytes;
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
  CAIRN_IN_CONTEXT(cuMemHostAlloc)
  *memory = std::malloc(bytes);
  staging.insert(*memory);
  ++fake_cuda.staging;
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* memory) {
  CAIRN_IN_CONTEXT(cuMemFreeHost)
  if (staging.erase(memory) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::free(memory);
  --fake_cuda.staging;
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, std::size_t bytes, CUstream) {
  CAIRN_IN_CONTEXT(cuMemsetD8Async)
  if (!Reachable(address, bytes)) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  std::memset(Pointer(address), value, bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemcpyHtoDAsync)
  if (!Reachable(to, bytes)) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  std::memcpy(Pointer(to), from, bytes);
  fake_cuda.last_stream = stream;
  ++fake_cuda.copies;
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  CAIRN_IN_CONTEXT(cuMemcpyDtoDAsync)
  if (!Reachable(from, bytes) || !Reachable(to, bytes)) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  std::memcpy(Pointer(to), Pointer(from), bytes);
  fake_cuda.last_stream = stream;
  ++fake_cuda.copies;
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream) {
  CAIRN_IN_CONTEXT(cuMemcpyDtoHAsync)
  if (!Reachable(from, bytes)) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  std::memcpy(to, Pointer(from), bytes);
  ++fake_cuda.copies;
  return CUDA_SUCCESS;
}
CUresult cuStreamCreate(CUstream* stream, unsigned int) {
  CAIRN_IN_CONTEXT(cuStreamCreate)
  static std::uintptr_t made = 0;
  *stream = reinterpret_cast<CUstream>(++made);
  streams.insert(*stream);
  ++fake_cuda.streams;
  return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream) {
  CAIRN_IN_CONTEXT(cuStreamSynchronize)
  return CUDA_SUCCESS;
}
CUresult cuStreamQuery(CUstream stream) {
  CAIRN_IN_CONTEXT(cuStreamQuery)
  if (streams.count(stream) == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  return fake_cuda.hang ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
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
  *event = reinterpret_cast<CUevent>(&fake_cuda);
  ++fake_cuda.events;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent, CUstream) {
  CAIRN_IN_CONTEXT(cuEventRecord)
  return CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent) {
  CAIRN_IN_CONTEXT(cuEventQuery)
  return fake_cuda.hang ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent) {
  CAIRN_IN_CONTEXT(cuEventDestroy)
  --fake_cuda.events;
  return CUDA_SUCCESS;
}

}  // extern "C"

#ifdef CAIRN_WITH_CUDA

#include "libcache/cuda/driver.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <type_traits>

// The names that cuda.h gives to the newest versions of functions are macros: expand, then quote.
#define CAIRN_QUOTE(name) #name
#define CAIRN_SYMBOL(name) CAIRN_QUOTE(name)

namespace cairn {

Result<CudaDriver> LoadCudaDriver() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Fail(ErrorCode::kNotFound, "no NVIDIA driver (libcuda.so.1)");
  }
  CudaDriver driver;
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    missing = function == nullptr ? name : missing;
  };
#define CAIRN_FIND(name) find(driver.name##_, CAIRN_SYMBOL(name));
  CAIRN_CUDA_FUNCTIONS(CAIRN_FIND)
#undef CAIRN_FIND
  if (!missing.empty()) {
    return Fail(ErrorCode::kNotFound, "the NVIDIA driver is too old: it has no " + missing);
  }
  return driver;
}

std::string CudaDriver::Explain(const char* call, CUresult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  cuGetErrorName_(result, &name);
  cuGetErrorString_(result, &text);
  return std::string(call) + ": " + (name == nullptr ? "error " + std::to_string(result) : name) +
         (text == nullptr ? "" : std::string(" (") + text + ")");
}

std::string CudaDriver::IdOf(CUdevice device, CUresult& result) const {
  CUuuid uuid{};
  result = cuDeviceGetUuid_(&uuid, device);
  if (result != CUDA_SUCCESS) {
    return "";
  }
  std::string id = "GPU-";
  for (int i = 0; i < 16; ++i) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    id += i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    id += digits.data();
  }
  return id;
}

}  // namespace cairn

#endif

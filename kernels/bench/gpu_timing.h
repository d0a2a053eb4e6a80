#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/cairn_kernels.h"

// What the benchmarks on a GPU share: medians over replays of a graph of many calls.
namespace cairn::kernels::bench {

constexpr int kSets = 4;  ///< Of inputs, so that they do not all lie in the cache.
constexpr int kCallsInGraph = 20;
constexpr int kReplays = 50;

inline void Must(cudaError_t error) {
  if (error != cudaSuccess) {
    std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
    std::exit(1);
  }
}
inline void Must(cairn_kernels_status status) {
  if (status != CAIRN_KERNELS_OK) {
    std::fprintf(stderr, "kernels: %s\n", cairn_kernels_status_text(status));
    std::exit(1);
  }
}

/// Device memory until the end of a measurement.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    for (void* piece : pieces_) {
      cudaFree(piece);
    }
  }
  void* Empty(std::size_t bytes) {
    void* piece = nullptr;
    Must(cudaMalloc(&piece, bytes));
    Must(cudaMemset(piece, 0, bytes));
    pieces_.push_back(piece);
    return piece;
  }
  template <class T>
  T* Put(const std::vector<T>& values) {
    void* piece = Empty(values.size() * sizeof(T));
    Must(cudaMemcpy(piece, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return static_cast<T*>(piece);
  }

 private:
  std::vector<void*> pieces_;
};

struct Times {
  double device_us;  ///< Of a call, in a graph of many.
  double host_us;    ///< To queue one.
};

/// `call(i)` queues a call on `stream`; i goes round the sets of inputs.
inline Times TimeCalls(cudaStream_t stream, const std::function<void(int)>& call) {
  call(0);
  Must(cudaStreamSynchronize(stream));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  Must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < kCallsInGraph; ++i) {
    call(i % kSets);
  }
  Must(cudaStreamEndCapture(stream, &graph));
  Must(cudaGraphInstantiate(&replay, graph, 0));
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  Must(cudaEventCreate(&begin));
  Must(cudaEventCreate(&end));
  std::vector<double> device;
  for (int i = 0; i < kReplays; ++i) {
    Must(cudaEventRecord(begin, stream));
    Must(cudaGraphLaunch(replay, stream));
    Must(cudaEventRecord(end, stream));
    Must(cudaEventSynchronize(end));
    float ms = 0;
    Must(cudaEventElapsedTime(&ms, begin, end));
    device.push_back(ms * 1e3 / kCallsInGraph);
  }
  std::vector<double> host;
  for (int i = 0; i < kReplays; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call(i % kSets);
    host.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
    Must(cudaStreamSynchronize(stream));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  std::sort(device.begin(), device.end());
  std::sort(host.begin(), host.end());
  return {device[device.size() / 2], host[host.size() / 2]};
}

/// A program's main: `run(name of the device, as JSON, stream)` where there is a device.
inline int OnDevice(const char* program, int argc, char** argv,
                    const std::function<void(const char*, bool, cudaStream_t)>& run) {
  const bool json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: %s [--json]\n", program);
    return 2;
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "no CUDA device here\n");
    return 77;
  }
  cudaDeviceProp device{};
  Must(cudaGetDeviceProperties(&device, 0));
  cudaStream_t stream = nullptr;
  Must(cudaStreamCreate(&stream));
  run(device.name, json, stream);
  cudaStreamDestroy(stream);
  return 0;
}

}  // namespace cairn::kernels::bench

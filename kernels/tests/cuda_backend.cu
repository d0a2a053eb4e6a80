#include <cuda_runtime.h>

#include "kernels/scan/workspace.h"
#include "kernels/tests/backend.h"
#include "kernels/tests/check.h"

namespace cairn::kernels::test {
namespace {

void Must(cudaError_t error) {
  if (error != cudaSuccess) {
    std::printf("CUDA: %s\n", cudaGetErrorString(error));
    std::abort();
  }
}

class CudaBackend final : public Backend {
 public:
  CudaBackend() { Must(cudaStreamCreate(&stream_)); }
  ~CudaBackend() override {
    for (void* piece : pieces_) {
      cudaFree(piece);
    }
    cudaStreamDestroy(stream_);
  }
  const char* name() const override { return "cuda"; }
  void* Put(const void* from, std::size_t bytes) override {
    if (bytes == 0) {
      return nullptr;
    }
    void* piece = nullptr;
    Must(cudaMalloc(&piece, bytes));
    pieces_.push_back(piece);
    Must(from == nullptr ? cudaMemset(piece, 0xFF, bytes)
                         : cudaMemcpy(piece, from, bytes, cudaMemcpyHostToDevice));
    return piece;
  }
  void Get(void* to, const void* from, std::size_t bytes) override {
    Must(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
  }
  cairn_kernels_status Recurrent(cairn_kernels_recurrent args) override {
    return Waited(cairn_kernels_recurrent_cuda, args, args.device_error);
  }
  cairn_kernels_status Replay(cairn_kernels_replay args) override {
    return Waited(cairn_kernels_replay_cuda, args, args.device_error);
  }
  cairn_kernels_status Conv(cairn_kernels_conv args) override {
    return Waited(cairn_kernels_conv_cuda, args, args.device_error);
  }
  cairn_kernels_status Transpose(cairn_kernels_transpose args) override {
    return Waited(cairn_kernels_transpose_cuda, args, args.device_error);
  }
  cairn_kernels_status Kv(cairn_kernels_kv args) override {
    return Waited(cairn_kernels_kv_cuda, args, args.device_error);
  }
  cairn_kernels_status Quantise(cairn_kernels_quantise args) override {
    return Waited(cairn_kernels_quantise_cuda, args, args.device_error);
  }
  cairn_kernels_status ExponentSplit(cairn_kernels_exponent_split args) override {
    return Waited(cairn_kernels_exponent_split_cuda, args, args.device_error);
  }
  cairn_kernels_status Copy(cairn_kernels_copy args) override {
    return Waited(cairn_kernels_copy_cuda, args, args.device_error);
  }

  cairn_kernels_status Scan(cairn_kernels_scan args) override {
    if (args.workspace_bytes == 0) {
      const cairn_kernels_scan_shape shape = ShapeOf(args.of);
      args.workspace_bytes = cairn_kernels_scan_workspace(&shape);
      if (args.workspace_bytes > 0) {
        args.workspace = Put(nullptr, static_cast<std::size_t>(args.workspace_bytes));
      }
    }
    return Waited(cairn_kernels_scan_cuda, args, args.of.device_error);
  }

 private:
  /// The call as a part of a graph; `device_error` is a member of `args`.
  template <class Call, class Args>
  cairn_kernels_status Waited(const Call& call, const Args& args, std::int32_t*& device_error) {
    const std::int32_t none = 0;
    device_error = static_cast<std::int32_t*>(Put(&none, sizeof(none)));
    // In a graph: a call that waits, allocates or copies behind the stream's back cannot be
    // captured.
    Must(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    const auto status = call(&args, stream_);
    cudaGraph_t graph = nullptr;
    Must(cudaStreamEndCapture(stream_, &graph));
    if (status == CAIRN_KERNELS_OK) {
      cudaGraphExec_t captured = nullptr;
      Must(cudaGraphInstantiate(&captured, graph, 0));
      Must(cudaGraphLaunch(captured, stream_));
      Must(cudaStreamSynchronize(stream_));
      Must(cudaGraphExecDestroy(captured));
    }
    Must(cudaGraphDestroy(graph));
    if (status != CAIRN_KERNELS_OK) {
      return status;
    }
    std::int32_t error = 0;
    Get(&error, device_error, sizeof(error));
    return static_cast<cairn_kernels_status>(error);
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> pieces_;
};

}  // namespace

std::unique_ptr<Backend> Cuda() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    cudaGetLastError();
    return nullptr;
  }
  return std::make_unique<CudaBackend>();
}

}  // namespace cairn::kernels::test

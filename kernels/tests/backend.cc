#include "kernels/tests/backend.h"

#include <cstdlib>
#include <cstring>

#include "kernels/recurrent/check.h"
#include "kernels/recurrent/kernel.h"
#include "kernels/tests/check.h"
#include "kernels/tests/emulated.h"

namespace cairn::kernels::test {
namespace {

/// Each piece by itself and to the byte, so that a sanitizer sees what goes past its end.
class HostMemory : public Backend {
 public:
  void* Put(const void* from, std::size_t bytes) override {
    if (bytes == 0) {
      return nullptr;
    }
    pieces_.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
    if (from == nullptr) {
      std::memset(pieces_.back().get(), 0xFF, bytes);
    } else {
      std::memcpy(pieces_.back().get(), from, bytes);
    }
    return pieces_.back().get();
  }
  void Get(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }

 private:
  std::vector<std::unique_ptr<std::byte[]>> pieces_;
};

class CpuBackend final : public HostMemory {
 public:
  const char* name() const override { return "cpu"; }
  cairn_kernels_status Recurrent(cairn_kernels_recurrent args) override {
    // In parts of uneven size, which must not matter.
    for (int part = 0; part < 3; ++part) {
      if (const auto status = cairn_kernels_recurrent_cpu(&args, part, 3)) {
        return status;
      }
    }
    return CAIRN_KERNELS_OK;
  }
  cairn_kernels_status Replay(cairn_kernels_replay args) override {
    return InParts(cairn_kernels_replay_cpu, args);
  }
  cairn_kernels_status Conv(cairn_kernels_conv args) override {
    return InParts(cairn_kernels_conv_cpu, args);
  }
  cairn_kernels_status Transpose(cairn_kernels_transpose args) override {
    return InParts(cairn_kernels_transpose_cpu, args);
  }
  cairn_kernels_status Kv(cairn_kernels_kv args) override {
    return InParts(cairn_kernels_kv_cpu, args);
  }

 private:
  /// All parts, whatever one of them says.
  template <class Call, class Args>
  static cairn_kernels_status InParts(const Call& call, const Args& args) {
    cairn_kernels_status status = CAIRN_KERNELS_OK;
    for (int part = 0; part < 3; ++part) {
      if (const auto wrong = call(&args, part, 3)) {
        status = wrong;
      }
    }
    return status;
  }
};

class EmulatedBackend final : public HostMemory {
 public:
  explicit EmulatedBackend(unsigned seed) : seed_(seed) {}
  const char* name() const override { return "emulated"; }
  cairn_kernels_status Recurrent(cairn_kernels_recurrent args) override {
    if (const auto status = CheckShapes(&args)) {
      return status;
    }
    std::int32_t error = 0;
    args.device_error = &error;
    switch (args.key_dim) {
      case 64: Rule<64>(args); break;
      case 128: Rule<128>(args); break;
      default: Rule<256>(args); break;
    }
    return static_cast<cairn_kernels_status>(error);
  }
  cairn_kernels_status Replay(cairn_kernels_replay args) override {
    return EmulateReplay(args, seed_);
  }
  cairn_kernels_status Conv(cairn_kernels_conv args) override { return EmulateConv(args, seed_); }
  cairn_kernels_status Transpose(cairn_kernels_transpose args) override {
    return EmulateTranspose(args, seed_);
  }
  cairn_kernels_status Kv(cairn_kernels_kv args) override { return EmulateKv(args, seed_); }

 private:
  template <int K>
  void Rule(const cairn_kernels_recurrent& args) const {
    const RuleTraits traits = TraitsOf(args.rule);
    if (traits.delta) {
      traits.channel ? Run<K, true, true>(args) : Run<K, true, false>(args);
    } else {
      traits.channel ? Run<K, false, true>(args) : Run<K, false, false>(args);
    }
  }
  template <int K, bool kDelta, bool kChannel>
  void Run(const cairn_kernels_recurrent& args) const {
    Emulate({.x = args.sequences * (args.value_dim / kAdvanceColumns),
             .y = args.value_heads,
             .threads = kAdvanceThreads,
             .shared_bytes = sizeof(AdvanceStage<K, kChannel>),
             .order_seed = seed_},
            [&] { AdvanceBlock<K, kDelta, kChannel>(args); });
  }
  unsigned seed_;
};

}  // namespace

#ifdef CAIRN_KERNELS_WITH_CUDA
std::unique_ptr<Backend> Cuda();  // cuda_backend.cu; null without a device.
#else
static std::unique_ptr<Backend> Cuda() { return nullptr; }
#endif

std::unique_ptr<Backend> Cpu() { return std::make_unique<CpuBackend>(); }
std::unique_ptr<Backend> Emulated(unsigned seed) { return std::make_unique<EmulatedBackend>(seed); }

std::vector<std::unique_ptr<Backend>> Backends() {
  std::vector<std::unique_ptr<Backend>> all;
  all.push_back(Cpu());
  all.push_back(Emulated());
  if (auto cuda = Cuda()) {
    all.push_back(std::move(cuda));
  } else if (std::getenv("CAIRN_KERNELS_NEED_CUDA") != nullptr) {
    Failed(__FILE__, __LINE__, "CAIRN_KERNELS_NEED_CUDA is set, and there is no device");
  }
  return all;
}

}  // namespace cairn::kernels::test

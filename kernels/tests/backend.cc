#include "kernels/tests/backend.h"

#include <cstdlib>
#include <cstring>

#include "kernels/recurrent/check.h"
#include "kernels/recurrent/kernel.h"
#include "kernels/scan/check.h"
#include "kernels/scan/scan.h"
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
  void Get(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) {
      std::memcpy(to, from, bytes);
    }
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> pieces_;
};

class CpuBackend final : public HostMemory {
 public:
  const char* name() const override { return "cpu"; }
  cairn_kernels_status Recurrent(cairn_kernels_recurrent args) override {
    return InParts(cairn_kernels_recurrent_cpu, args);
  }
  cairn_kernels_status Scan(cairn_kernels_scan args) override {
    return InParts(cairn_kernels_scan_cpu, args);
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
  cairn_kernels_status Quantise(cairn_kernels_quantise args) override {
    return InParts(cairn_kernels_quantise_cpu, args);
  }
  cairn_kernels_status ExponentSplit(cairn_kernels_exponent_split args) override {
    return InParts(cairn_kernels_exponent_split_cpu, args);
  }
  cairn_kernels_status Copy(cairn_kernels_copy args) override {
    return InParts(cairn_kernels_copy_cpu, args);
  }

 private:
  /// All parts, whatever one of them says; uneven ones, which must not matter.
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
  cairn_kernels_status Quantise(cairn_kernels_quantise args) override {
    return EmulateQuantise(args, seed_);
  }
  cairn_kernels_status ExponentSplit(cairn_kernels_exponent_split args) override {
    return EmulateExponentSplit(args, seed_);
  }
  cairn_kernels_status Copy(cairn_kernels_copy args) override { return EmulateCopy(args, seed_); }

  cairn_kernels_status Scan(cairn_kernels_scan args) override {
    if (args.workspace_bytes == 0) {
      const cairn_kernels_scan_shape shape = ShapeOf(args.of);
      args.workspace_bytes = cairn_kernels_scan_workspace(&shape);
      if (args.workspace_bytes > 0) {
        args.workspace = Put(nullptr, static_cast<std::size_t>(args.workspace_bytes));
      }
    }
    if (const auto status = CheckScanShapes(&args, true)) {
      return status;
    }
    std::int32_t error = 0;
    args.of.device_error = &error;
    const RuleTraits traits = TraitsOf(args.of.rule);
    if (traits.delta) {
      traits.channel ? ScanRule<true, true>(args) : ScanRule<true, false>(args);
    } else {
      traits.channel ? ScanRule<false, true>(args) : ScanRule<false, false>(args);
    }
    return static_cast<cairn_kernels_status>(error);
  }

 private:
  template <bool kDelta, bool kChannel>
  void ScanRule(const cairn_kernels_scan& args) const {
    Emulate({.x = static_cast<int>(SlotCount(args.of.sequences, args.of.tokens)),
             .y = args.of.value_heads,
             .threads = kPrepareThreads,
             .shared_bytes = kPrepareShared<kChannel>,
             .order_seed = seed_},
            [&] { PrepareBlock<kDelta, kChannel>(args); });
    args.of.output.data != nullptr ? ScanChunks<kDelta, kChannel, true>(args)
                                   : ScanChunks<kDelta, kChannel, false>(args);
  }
  template <bool kDelta, bool kChannel, bool kOutputs>
  void ScanChunks(const cairn_kernels_scan& args) const {
    // Even seeds have room for two chunks at a time.
    seed_ % 2 == 0 ? ScanStages<kDelta, kChannel, kOutputs, 2>(args)
                   : ScanStages<kDelta, kChannel, kOutputs, 1>(args);
  }
  template <bool kDelta, bool kChannel, bool kOutputs, int kStages>
  void ScanStages(const cairn_kernels_scan& args) const {
    Emulate({.x = args.of.sequences * (args.of.value_dim / kScanColumns),
             .y = args.of.value_heads,
             .threads = kScanThreads,
             .shared_bytes = kStages * sizeof(ScanStage<kDelta, kChannel, kOutputs>),
             .order_seed = seed_},
            [&] { ScanBlock<kDelta, kChannel, kOutputs, kStages>(args); });
  }
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

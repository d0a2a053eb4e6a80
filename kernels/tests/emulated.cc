#include "kernels/tests/emulated.h"

#include "kernels/conv/check.h"
#include "kernels/conv/kernel.h"
#include "kernels/copy/check.h"
#include "kernels/copy/kernel.h"
#include "kernels/exponent_split/check.h"
#include "kernels/exponent_split/kernel.h"
#include "kernels/kv/check.h"
#include "kernels/kv/kernel.h"
#include "kernels/quantise/check.h"
#include "kernels/quantise/kernel.h"
#include "kernels/recurrent/rule.h"
#include "kernels/replay/check.h"
#include "kernels/replay/kernel.h"
#include "kernels/transpose/check.h"
#include "kernels/transpose/kernel.h"

namespace cairn::kernels::test {
namespace {

template <int K, bool kChannel>
void Replay(const cairn_kernels_replay& args, unsigned seed) {
  const EmulatedGrid grid = {
      .x = ReplayTiles(args) * args.value_heads * args.layers * args.restores,
      .threads = K,
      .shared_bytes = sizeof(ReplayShared<K, kChannel>),
      .order_seed = seed};
  if (args.mode == CAIRN_KERNELS_REPLAY_FOLDED) {
    Emulate(grid, [&] { ReplayBlock<K, kChannel, true>(args); });
  } else {
    Emulate(grid, [&] { ReplayBlock<K, kChannel, false>(args); });
  }
}
template <int K>
void ReplayRule(const cairn_kernels_replay& args, unsigned seed) {
  TraitsOf(args.rule).channel ? Replay<K, true>(args, seed) : Replay<K, false>(args, seed);
}

template <class T>
void Transpose(const cairn_kernels_transpose& args, unsigned seed) {
  Emulate({.x = TransposeTiles<T>(args) * args.heads * args.layers * args.count,
           .threads = kTransposeThreads,
           .shared_bytes = sizeof(TransposeTile<T>),
           .order_seed = seed},
          [&] { TransposeBlock<T>(args); });
}

}  // namespace

cairn_kernels_status EmulateReplay(cairn_kernels_replay args, unsigned seed) {
  if (const auto status = CheckReplay(&args)) {
    return status;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  switch (args.key_dim) {
    case 64: ReplayRule<64>(args, seed); break;
    case 128: ReplayRule<128>(args, seed); break;
    default: ReplayRule<256>(args, seed); break;
  }
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateConv(cairn_kernels_conv args, unsigned seed) {
  if (const auto status = CheckConv(&args)) {
    return status;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  const EmulatedGrid grid = {
      .x = args.sequences * ConvBlocks(args), .threads = kConvThreads, .order_seed = seed};
  if (args.rows.dtype == CAIRN_KERNELS_F32) {
    Emulate(grid, [&] { ConvBlock<std::uint32_t>(args); });
  } else {
    Emulate(grid, [&] { ConvBlock<std::uint16_t>(args); });
  }
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateTranspose(cairn_kernels_transpose args, unsigned seed) {
  if (const auto status = CheckTranspose(&args)) {
    return status;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  if (args.from.dtype == CAIRN_KERNELS_F32) {
    Transpose<std::uint32_t>(args, seed);
  } else {
    Transpose<std::uint16_t>(args, seed);
  }
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateKv(const cairn_kernels_kv& args, unsigned seed) {
  KvPlan plan{};
  if (const auto status = CheckKv(&args, plan)) {
    return status;
  }
  if (plan.word_bytes == 0) {
    return CAIRN_KERNELS_OK;
  }
  std::int32_t error = 0;
  plan.args.device_error = &error;
  WithKvVariant(plan, [&]<bool kNarrow, bool kUnpack, bool kDigest, bool kRope>() {
    Emulate({.x = static_cast<int>(KvBlocks(args)),
             .threads = kKvThreads,
             .shared_bytes = sizeof(KvShared),
             .order_seed = seed},
            [&] { KvBlock<kNarrow, kUnpack, kDigest, kRope>(plan); });
  });
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateQuantise(cairn_kernels_quantise args, unsigned seed) {
  if (const auto status = CheckQuantise(&args)) {
    return status;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  WithQuantiseVariant(args, [&]<class T, int kCodec, bool kDecode>() {
    Emulate({.x = QuantiseBlocks(args),
             .threads = kQuantiseThreads,
             .shared_bytes = sizeof(QuantiseShared),
             .order_seed = seed},
            [&] { QuantiseBlock<T, kCodec, kDecode>(args); });
  });
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateExponentSplit(cairn_kernels_exponent_split args, unsigned seed) {
  if (const auto status = CheckExponentSplit(&args)) {
    return status;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  Emulate({.x = ExponentSplitBlocks(args),
           .threads = kSplitThreads,
           .shared_bytes = sizeof(SplitShared),
           .order_seed = seed},
          [&] { ExponentSplitBlock(args); });
  return static_cast<cairn_kernels_status>(error);
}

cairn_kernels_status EmulateCopy(cairn_kernels_copy args, unsigned seed) {
  if (const auto status = CheckCopy(&args)) {
    return status;
  }
  if (args.count == 0) {
    return CAIRN_KERNELS_OK;
  }
  std::int32_t error = 0;
  args.device_error = &error;
  Emulate({.x = CopyBlocks(args), .threads = kCopyThreads, .order_seed = seed},
          [&] { CopyBlock(args); });
  return static_cast<cairn_kernels_status>(error);
}

}  // namespace cairn::kernels::test

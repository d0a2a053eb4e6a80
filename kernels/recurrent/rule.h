#pragma once

#include "kernels/cairn_kernels.h"

// What the CPU and the GPU must agree about for their results to be the same bits.
namespace cairn::kernels {

/// The two questions that tell the rules apart.
struct RuleTraits {
  bool delta;    ///< Takes back what the key already holds.
  bool channel;  ///< Decays each key channel by a factor of its own.
};

constexpr RuleTraits TraitsOf(int rule) {
  return {.delta = rule == CAIRN_KERNELS_GATED_DELTA || rule == CAIRN_KERNELS_KDA,
          .channel = rule == CAIRN_KERNELS_KDA || rule == CAIRN_KERNELS_GLA};
}

// Every sum over the K key channels is made in one order. Lane l of 8 has the channels
// 32 r + 4 l + c and keeps a chain of fused multiply-adds over r for each c of 4:
//   lane   = (chain 0 + chain 1) + (chain 2 + chain 3)
//   sum    = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
// So on the GPU eight threads read 128 bytes side by side and meet in three shuffles, and on the
// CPU a vector of columns goes through the same additions.
constexpr int kLanes = 8;
constexpr int kChains = 4;
constexpr int kRound = kLanes * kChains;

constexpr float kNormEpsilon = 1e-6F;  // FLA's and transformers' l2norm.

}  // namespace cairn::kernels

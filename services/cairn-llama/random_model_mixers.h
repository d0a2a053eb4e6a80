#pragma once

#include <cstdint>
#include <vector>

#include "services/cairn-llama/random_model_plan.h"

/// Parts of layers that several architectures have in common, or that are large: their lengths, the
/// keys that tell llama.cpp those, and their tensors. Defaults are those of ModelSize::kTiny.
namespace cairn::llama {

/// A value for each layer: `value` for the last of each `interval` layers, else 0.
std::vector<std::uint32_t> LastOfEach(std::uint32_t interval, std::uint32_t layers,
                                      std::uint32_t value);

struct Experts {
  std::uint32_t count = 4;
  std::uint32_t used = 2;
  std::uint32_t ff = 32;
};
Experts ExpertsOf(ModelSize size);
void ExpertKeys(PlanBuilder& plan, const Experts& experts);
/// Routed experts and one that all tokens share.
void ExpertFeedForward(PlanBuilder& plan, const Experts& experts);

struct Mamba2 {
  std::uint32_t inner = 128;
  std::uint32_t state = 32;
  std::uint32_t heads = 4;
  std::uint32_t groups = 1;
};
void Mamba2Keys(PlanBuilder& plan, const Mamba2& mamba);
void Mamba2Mixer(PlanBuilder& plan, const Mamba2& mamba);

/// Gated DeltaNet, of the Qwen models.
struct DeltaNet {
  std::uint32_t state = 32;  ///< Length of a head's keys and values.
  std::uint32_t key_heads = 1;
  std::uint32_t value_heads = 2;
};
/// Also the keys of the attention in between, which is the last of each `interval` layers.
void DeltaNetKeys(PlanBuilder& plan, const DeltaNet& net, std::uint32_t interval);
/// `joint` is whether beta and alpha come of one matrix.
void DeltaNetMixer(PlanBuilder& plan, const DeltaNet& net, bool joint);

/// Kimi Delta Attention (KDA), and multi-head latent attention (MLA) without positions.
struct Kimi {
  std::uint32_t kda_head = 32;
  std::uint32_t latent = 32;  ///< Compressed keys and values of a token, which all heads share.
  std::uint32_t rope = 16;    ///< The part of a key that is not compressed; not rotated either.
  std::uint32_t nope = 16;    ///< The rest of it.
  std::uint32_t value = 32;
};
void KimiKeys(PlanBuilder& plan, const Kimi& kimi, std::uint32_t interval);
void KdaMixer(PlanBuilder& plan, const Kimi& kimi);
void MlaMixer(PlanBuilder& plan, const Kimi& kimi);

}  // namespace cairn::llama

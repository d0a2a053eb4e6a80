#include "services/cairn-llama/random_model_mixers.h"

#include <cmath>
#include <string>

namespace cairn::llama {
namespace {

constexpr std::uint32_t kTaps = 4;  // Of the short convolution before a recurrence.

/// A head forgets at a rate times a step per token. Steps are as Mamba-2 and its descendants are
/// initialized; rates reach lower than theirs, so that some heads remember thousands of tokens and
/// a state that is not the right one shows for long.
constexpr float kStepMin = 0.001F;
constexpr float kStepMax = 0.1F;
constexpr float kRateMin = 0.1F;
constexpr float kRateMax = 16;

float InverseRoot(std::uint32_t length) { return 1 / std::sqrt(static_cast<float>(length)); }

/// A multimodal model gives each pair of rotated values to a position in time, height or width; a
/// fourth kind is not used. In a text all of a token's positions are the same.
std::vector<std::uint32_t> RopeSections(std::uint32_t rotated) {
  const std::uint32_t pairs = rotated / 2;
  const std::uint32_t third = pairs / 3;
  return {pairs - 2 * third, third, third, 0};
}

}  // namespace

std::vector<std::uint32_t> LastOfEach(std::uint32_t interval, std::uint32_t layers,
                                      std::uint32_t value) {
  std::vector<std::uint32_t> values(layers, 0);
  for (std::uint32_t last = interval; last <= layers; last += interval) {
    values[last - 1] = value;
  }
  return values;
}

Experts ExpertsOf(ModelSize size) {
  return size == ModelSize::kTiny ? Experts{} : Experts{.count = 8, .used = 2, .ff = 128};
}

void ExpertKeys(PlanBuilder& plan, const Experts& experts) {
  plan.Key("expert_count", experts.count);
  plan.Key("expert_used_count", experts.used);
  plan.Key("expert_feed_forward_length", experts.ff);
}

void ExpertFeedForward(PlanBuilder& plan, const Experts& experts) {
  const std::uint32_t embd = plan.dims().embd;
  plan.Small("ffn_gate_inp.weight", {embd, experts.count}, Draw::kUniform, 0, InverseRoot(embd));
  plan.Matrix("ffn_gate_exps.weight", embd, experts.ff, 1, experts.count);
  plan.Matrix("ffn_up_exps.weight", embd, experts.ff, 1, experts.count);
  plan.Matrix("ffn_down_exps.weight", experts.ff, embd, 1, experts.count);
  plan.Matrix("ffn_gate_shexp.weight", embd, experts.ff);
  plan.Matrix("ffn_up_shexp.weight", embd, experts.ff);
  plan.Matrix("ffn_down_shexp.weight", experts.ff, embd);
}

void Mamba2Keys(PlanBuilder& plan, const Mamba2& mamba) {
  plan.Key("ssm.conv_kernel", kTaps);
  plan.Key("ssm.inner_size", mamba.inner);
  plan.Key("ssm.state_size", mamba.state);
  plan.Key("ssm.time_step_rank", mamba.heads);
  plan.Key("ssm.group_count", mamba.groups);
}

void Mamba2Mixer(PlanBuilder& plan, const Mamba2& mamba) {
  const std::uint32_t embd = plan.dims().embd;
  const std::uint32_t channels = mamba.inner + 2 * mamba.groups * mamba.state;
  plan.Matrix("ssm_in.weight", embd, mamba.inner + channels + mamba.heads);
  plan.Convolution("ssm_conv1d.weight", kTaps, channels);
  plan.Small("ssm_conv1d.bias", {channels}, Draw::kUniform, 0, 0.1F);
  plan.Small("ssm_dt.bias", {mamba.heads}, Draw::kTimeStep, kStepMin, kStepMax);
  plan.Small("ssm_a", {1, mamba.heads}, Draw::kDecay, kRateMin, kRateMax);
  plan.Small("ssm_d", {1, mamba.heads}, Draw::kUniform, 1, 0.1F);
  plan.Small("ssm_norm.weight", {mamba.inner / mamba.groups, mamba.groups}, Draw::kUniform, 1,
             0.1F);
  plan.Matrix("ssm_out.weight", mamba.inner, embd);
}

void DeltaNetKeys(PlanBuilder& plan, const DeltaNet& net, std::uint32_t interval) {
  const std::uint32_t rotated = plan.dims().head / 2;
  plan.AttentionKeys();
  plan.Key("full_attention_interval", interval);
  plan.Key("rope.dimension_count", rotated);
  plan.Key("rope.dimension_sections", RopeSections(rotated));
  plan.Key("ssm.conv_kernel", kTaps);
  plan.Key("ssm.inner_size", net.state * net.value_heads);
  plan.Key("ssm.state_size", net.state);
  plan.Key("ssm.time_step_rank", net.value_heads);
  plan.Key("ssm.group_count", net.key_heads);
}

void DeltaNetMixer(PlanBuilder& plan, const DeltaNet& net, bool joint) {
  const std::uint32_t embd = plan.dims().embd;
  const std::uint32_t inner = net.state * net.value_heads;
  const std::uint32_t channels = inner + 2 * net.state * net.key_heads;
  plan.Matrix("attn_qkv.weight", embd, channels);
  plan.Matrix("attn_gate.weight", embd, inner);
  plan.Convolution("ssm_conv1d.weight", kTaps, channels);
  plan.Small("ssm_dt.bias", {net.value_heads}, Draw::kTimeStep, kStepMin, kStepMax);
  plan.Small("ssm_a", {net.value_heads}, Draw::kDecay, kRateMin, kRateMax);
  if (joint) {
    plan.Matrix("ssm_ba.weight", embd, 2 * net.value_heads);
  } else {
    plan.Matrix("ssm_beta.weight", embd, net.value_heads);
    plan.Matrix("ssm_alpha.weight", embd, net.value_heads);
  }
  plan.Norm("ssm_norm.weight", net.state);
  plan.Matrix("ssm_out.weight", inner, embd);
}

void KimiKeys(PlanBuilder& plan, const Kimi& kimi, std::uint32_t interval) {
  constexpr std::uint32_t kSigmoid = 2;
  const Dims& dims = plan.dims();
  plan.Key("attention.head_count", dims.heads);
  // KDA layers have no heads of keys. Those of MLA share one latent, which counts as one head.
  plan.Key("attention.head_count_kv", LastOfEach(interval, dims.layers, 1));
  plan.Key("attention.key_length", kimi.latent + kimi.rope);
  plan.Key("attention.value_length", kimi.latent);
  plan.Key("attention.key_length_mla", kimi.nope + kimi.rope);
  plan.Key("attention.value_length_mla", kimi.value);
  plan.Key("attention.kv_lora_rank", kimi.latent);
  plan.Key("rope.dimension_count", kimi.rope);
  plan.Key("ssm.conv_kernel", kTaps);
  plan.Key("kda.head_dim", kimi.kda_head);
  plan.Key("expert_shared_count", 1U);
  plan.Key("expert_gating_func", kSigmoid);
  plan.Key("expert_weights_scale", 2.5F);
  plan.Key("leading_dense_block_count", 1U);
}

void KdaMixer(PlanBuilder& plan, const Kimi& kimi) {
  const Dims& dims = plan.dims();
  const std::uint32_t inner = kimi.kda_head * dims.heads;
  for (const std::string part : {"q", "k", "v"}) {
    plan.Matrix("attn_" + part + ".weight", dims.embd, inner);
    plan.Small("ssm_conv1d_" + part + ".weight", {kTaps, 1, inner}, Draw::kUniform, 0,
               InverseRoot(kTaps));
  }
  plan.Matrix("ssm_f_a.weight", dims.embd, kimi.kda_head);
  plan.Matrix("ssm_f_b.weight", kimi.kda_head, inner);
  plan.Matrix("ssm_beta.weight", dims.embd, dims.heads);
  plan.Small("ssm_a", {1, dims.heads}, Draw::kDecay, kRateMin, kRateMax);
  plan.Small("ssm_dt.bias", {inner}, Draw::kTimeStep, kStepMin, kStepMax);
  plan.Matrix("ssm_g_a.weight", dims.embd, kimi.kda_head);
  plan.Matrix("ssm_g_b.weight", kimi.kda_head, inner);
  plan.Norm("ssm_norm.weight", kimi.kda_head);
  plan.Matrix("attn_output.weight", inner, dims.embd);
}

void MlaMixer(PlanBuilder& plan, const Kimi& kimi) {
  constexpr float kQueryGain = kSharpness * kSharpness;  // For both, since keys have size 1.
  const Dims& dims = plan.dims();
  plan.Matrix("attn_q.weight", dims.embd, dims.heads * (kimi.nope + kimi.rope), kQueryGain);
  plan.Matrix("attn_kv_a_mqa.weight", dims.embd, kimi.latent + kimi.rope);
  plan.Norm("attn_kv_a_norm.weight", kimi.latent);
  plan.Matrix("attn_k_b.weight", kimi.nope, kimi.latent, 1, dims.heads);
  plan.Matrix("attn_v_b.weight", kimi.latent, kimi.value, 1, dims.heads);
  plan.Matrix("attn_output.weight", dims.heads * kimi.value, dims.embd);
}

}  // namespace cairn::llama

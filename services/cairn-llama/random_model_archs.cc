#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include "services/cairn-llama/random_model_mixers.h"
#include "services/cairn-llama/random_model_plan.h"

/// The architectures. Names of keys and tensors, shapes and what must be there are those that
/// llama.cpp 0.5.0 reads in src/models/*.cpp.
namespace cairn::llama {
namespace {

/// Which layers of a hybrid are of attention, where it is not said otherwise.
constexpr std::uint32_t kInterval = 4;
constexpr bool IsLast(std::uint32_t layer, std::uint32_t interval) {
  return (layer + 1) % interval == 0;
}

ModelPlan PlanLlama(ModelSize size) {
  Dims dims;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 8, .embd = 768, .ff = 1024, .heads = 12, .kv_heads = 4, .head = 64};
  }
  PlanBuilder plan("llama", size, dims);
  plan.AttentionKeys();
  plan.Key("rope.dimension_count", dims.head);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    plan.Attention(1, false);
    plan.Norm("ffn_norm.weight", dims.embd);
    plan.FeedForward();
  }
  return plan.Take();
}

/// Layers with a sliding window, some with the whole context; norms before and behind each part.
ModelPlan PlanGemma3(ModelSize size) {
  // The last layers of an interval see all. A window of whole tiles of llama.cpp's flash attention
  // (64 tokens on CPUs): so a restored window's sums are rounded as they were, if its end is on a
  // tile.
  constexpr std::uint32_t kWindow = 128;
  Dims dims;
  std::uint32_t interval = 2;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 8, .embd = 768, .ff = 1152, .heads = 4, .kv_heads = 1, .head = 256};
    interval = 4;
  }
  PlanBuilder plan("gemma3", size, dims);
  plan.AttentionKeys();
  plan.Key("attention.sliding_window", kWindow);
  plan.Key("attention.sliding_window_pattern", interval);
  plan.Ends(1 / std::sqrt(static_cast<float>(dims.embd)));  // The graph scales it up again.
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    plan.Attention(1, true);
    plan.Norm("post_attention_norm.weight", dims.embd);
    plan.Norm("ffn_norm.weight", dims.embd);
    plan.FeedForward();
    plan.Norm("post_ffw_norm.weight", dims.embd);
  }
  return plan.Take();
}

/// Short convolutions without any other state, and attention.
ModelPlan PlanLfm2(ModelSize size) {
  constexpr std::uint32_t kTaps = 3;
  Dims dims;
  std::uint32_t interval = 2;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 9, .embd = 768, .ff = 1024, .heads = 12, .kv_heads = 4, .head = 64};
    interval = 3;
  }
  PlanBuilder plan("lfm2", size, dims);
  plan.Key("attention.head_count", dims.heads);
  plan.Key("attention.head_count_kv", LastOfEach(interval, dims.layers, dims.kv_heads));
  plan.Key("shortconv.l_cache", kTaps);
  plan.Ends(1, "token_embd_norm.weight");  // The output's norm, despite its name.
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    if (IsLast(i, interval)) {
      plan.Attention(1, true);
    } else {
      plan.Matrix("shortconv.in_proj.weight", dims.embd, 3 * dims.embd);
      plan.Convolution("shortconv.conv.weight", kTaps, dims.embd);
      plan.Matrix("shortconv.out_proj.weight", dims.embd, dims.embd);
    }
    plan.Norm("ffn_norm.weight", dims.embd);
    plan.FeedForward();
  }
  return plan.Take();
}

ModelPlan PlanMamba2(ModelSize size) {
  Dims dims{.ff = 0};
  Mamba2 mamba;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 10, .embd = 768, .ff = 0};
    mamba = {.inner = 1536, .state = 128, .heads = 24, .groups = 1};
  }
  PlanBuilder plan("mamba2", size, dims);
  plan.Key("attention.head_count", 0U);
  Mamba2Keys(plan, mamba);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    Mamba2Mixer(plan, mamba);
  }
  return plan.Take();
}

/// Attention and Mamba-2 side by side in each layer.
ModelPlan PlanFalconH1(ModelSize size) {
  Dims dims;
  Mamba2 mamba;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 8, .embd = 768, .ff = 768, .heads = 8, .kv_heads = 2, .head = 64};
    mamba = {.inner = 768, .state = 128, .heads = 12, .groups = 1};
  }
  PlanBuilder plan("falcon-h1", size, dims);
  plan.AttentionKeys();
  Mamba2Keys(plan, mamba);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    Mamba2Mixer(plan, mamba);
    plan.Attention(1, false);
    plan.Norm("ffn_norm", dims.embd);  // Without the suffix that all others have.
    plan.FeedForward();
  }
  return plan.Take();
}

/// Mamba-2, and some layers of attention without positions, as in Granite 4.0 H.
ModelPlan PlanGraniteHybrid(ModelSize size) {
  Dims dims;
  Mamba2 mamba;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 8, .embd = 768, .ff = 768, .heads = 12, .kv_heads = 4, .head = 64};
    mamba = {.inner = 2 * dims.embd, .state = 128, .heads = 24, .groups = 1};
  }
  PlanBuilder plan("granitehybrid", size, dims);
  plan.Key("attention.head_count", dims.heads);
  plan.Key("attention.head_count_kv", LastOfEach(kInterval, dims.layers, dims.kv_heads));
  plan.Key("rope.scaling.finetuned", false);
  Mamba2Keys(plan, mamba);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    if (IsLast(i, kInterval)) {
      plan.Attention(1, false);
    } else {
      Mamba2Mixer(plan, mamba);
    }
    plan.Norm("ffn_norm.weight", dims.embd);
    plan.FeedForward();
  }
  return plan.Take();
}

/// What is common to the Qwen models, whose feed-forward parts differ.
struct Qwen {
  Dims dims;
  DeltaNet net;
};

Qwen QwenOf(ModelSize size) {
  if (size == ModelSize::kTiny) {
    return {};
  }
  return {.dims = {.layers = 8, .embd = 768, .ff = 1024, .heads = 6, .kv_heads = 2, .head = 128},
          .net = {.state = 128, .key_heads = 3, .value_heads = 6}};
}

ModelPlan PlanQwen35(ModelSize size) {
  const auto [dims, net] = QwenOf(size);
  PlanBuilder plan("qwen35", size, dims);
  DeltaNetKeys(plan, net, kInterval);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    if (IsLast(i, kInterval)) {
      plan.Attention(2, true);
    } else {
      DeltaNetMixer(plan, net, false);
    }
    plan.Norm("post_attention_norm.weight", dims.embd);
    plan.FeedForward();
  }
  return plan.Take();
}

ModelPlan PlanQwen3Next(ModelSize size) {
  const auto [dims, net] = QwenOf(size);
  const Experts experts = ExpertsOf(size);
  PlanBuilder plan("qwen3next", size, dims);
  DeltaNetKeys(plan, net, kInterval);
  ExpertKeys(plan, experts);
  plan.Key("expert_shared_feed_forward_length", experts.ff);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    if (IsLast(i, kInterval)) {
      plan.Attention(2, true);
    } else {
      DeltaNetMixer(plan, net, true);
    }
    plan.Norm("post_attention_norm.weight", dims.embd);
    ExpertFeedForward(plan, experts);
    plan.Small("ffn_gate_inp_shexp.weight", {dims.embd}, Draw::kUniform, 0,
               1 / std::sqrt(static_cast<float>(dims.embd)));
  }
  return plan.Take();
}

ModelPlan PlanKimiLinear(ModelSize size) {
  Dims dims;
  Kimi kimi;
  if (size == ModelSize::kMedium) {
    dims = {.layers = 8, .embd = 768, .ff = 1280, .heads = 6};
    kimi = {.kda_head = 128, .latent = 256, .rope = 64, .nope = 128, .value = 128};
  }
  const Experts experts = ExpertsOf(size);
  PlanBuilder plan("kimi-linear", size, dims);
  KimiKeys(plan, kimi, kInterval);
  ExpertKeys(plan, experts);
  plan.Ends();
  for (std::uint32_t i = 0; i < dims.layers; ++i) {
    plan.Layer(i);
    plan.Norm("attn_norm.weight", dims.embd);
    if (IsLast(i, kInterval)) {
      MlaMixer(plan, kimi);
    } else {
      KdaMixer(plan, kimi);
    }
    plan.Norm("ffn_norm.weight", dims.embd);
    if (i == 0) {
      plan.FeedForward();
    } else {
      ExpertFeedForward(plan, experts);
      plan.Small("exp_probs_b.bias", {experts.count}, Draw::kUniform, 0, 0.01F);
    }
  }
  return plan.Take();
}

constexpr std::array<RandomArch, 9> kArchs = {{{"falcon-h1", PlanFalconH1},
                                               {"gemma3", PlanGemma3},
                                               {"granitehybrid", PlanGraniteHybrid},
                                               {"kimi-linear", PlanKimiLinear},
                                               {"lfm2", PlanLfm2},
                                               {"llama", PlanLlama},
                                               {"mamba2", PlanMamba2},
                                               {"qwen35", PlanQwen35},
                                               {"qwen3next", PlanQwen3Next}}};

}  // namespace

std::span<const RandomArch> RandomArchs() { return kArchs; }

}  // namespace cairn::llama

#include "services/cairn-llama/random_model_plan.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace cairn::llama {
namespace {

constexpr std::uint32_t kContextLength = 8192;
constexpr float kRmsEpsilon = 1e-6F;

/// Deviation of the logits of tokens worth generating, and of all others. The others are not zero,
/// so that each logit says something about the state, but are never the largest.
constexpr float kLogitSpread = 2.5F;
constexpr float kOtherLogitSpread = 0.25F;

constexpr std::uint32_t kUnknown = 0;
constexpr std::uint32_t kBegin = 1;
constexpr std::uint32_t kEnd = 2;
constexpr std::uint32_t kFirstByte = 3;
constexpr std::uint32_t kSpace = kFirstByte + 256;

/// Those above kSpace are never read or generated. A small real model has a third or more of its
/// weights in its embeddings, which take room but hardly any time.
std::uint32_t TokensOf(ModelSize size) {
  constexpr std::uint32_t kMediumTokens = 20'480;
  return size == ModelSize::kTiny ? kSpace + 1 : kMediumTokens;
}

/// Values of tokenizer.ggml.token_type.
enum TokenType : std::int32_t {
  kNormalType = 1,
  kUnknownType = 2,
  kControlType = 3,
  kUnusedType = 5,
  kByteType = 6
};

}  // namespace

PlanBuilder::PlanBuilder(std::string arch, ModelSize size, const Dims& dims)
    : arch_(std::move(arch)), size_(size), dims_(dims) {
  Key("vocab_size", TokensOf(size));
  Key("context_length", kContextLength);
  Key("block_count", dims.layers);
  Key("embedding_length", dims.embd);
  Key("feed_forward_length", dims.ff);
  Key("attention.layer_norm_rms_epsilon", kRmsEpsilon);
}

void PlanBuilder::Key(std::string_view name, GgufValue value) {
  plan_.keys.emplace_back(arch_ + "." + std::string(name), std::move(value));
}

void PlanBuilder::Norm(std::string_view name, std::uint32_t length, float mean) {
  constexpr float kSpread = 0.1F;
  Small(name, {length}, Draw::kUniform, mean, mean * kSpread);
}

void PlanBuilder::Matrix(std::string_view name, std::uint32_t in, std::uint32_t out, float gain,
                         std::uint32_t count) {
  GgufTensor tensor{.name = prefix_ + std::string(name),
                    .type = tiny() ? llamacpp::kF32 : llamacpp::kF16,
                    .shape = {in, out}};
  if (count > 1) {
    tensor.shape.push_back(count);
  }
  plan_.tensors.push_back({.tensor = std::move(tensor),
                           .draw = Draw::kUniform,
                           .a = 0,
                           .b = gain / std::sqrt(static_cast<float>(in))});
}

void PlanBuilder::Small(std::string_view name, std::vector<std::int64_t> shape, Draw draw, float a,
                        float b) {
  plan_.tensors.push_back({.tensor = {.name = prefix_ + std::string(name),
                                      .type = llamacpp::kF32,
                                      .shape = std::move(shape)},
                           .draw = draw,
                           .a = a,
                           .b = b});
}

void PlanBuilder::Convolution(std::string_view name, std::uint32_t taps, std::uint32_t channels) {
  Small(name, {taps, channels}, Draw::kUniform, 0, 1 / std::sqrt(static_cast<float>(taps)));
}

void PlanBuilder::Ends(float embedding, std::string_view norm) {
  prefix_.clear();
  const float scale = 1 / std::sqrt(static_cast<float>(dims_.embd));
  Matrix("token_embd.weight", dims_.embd, TokensOf(size_), embedding / scale);
  Norm(norm, dims_.embd);
  Matrix("output.weight", dims_.embd, TokensOf(size_));
  PlannedTensor& output = plan_.tensors.back();
  output.draw = Draw::kLogits;
  output.a = kOtherLogitSpread * scale;
  output.b = kLogitSpread * scale;
}

void PlanBuilder::AttentionKeys() {
  Key("attention.head_count", dims_.heads);
  Key("attention.head_count_kv", dims_.kv_heads);
  Key("attention.key_length", dims_.head);
  Key("attention.value_length", dims_.head);
}

void PlanBuilder::Attention(std::uint32_t query_parts, bool normalized) {
  const std::uint32_t all_heads = dims_.heads * dims_.head;
  const std::uint32_t kv_heads = dims_.kv_heads * dims_.head;
  const float gain = normalized ? 1 : kSharpness;
  Matrix("attn_q.weight", dims_.embd, all_heads * query_parts, gain);
  Matrix("attn_k.weight", dims_.embd, kv_heads, gain);
  Matrix("attn_v.weight", dims_.embd, kv_heads);
  Matrix("attn_output.weight", all_heads, dims_.embd);
  if (normalized) {
    Norm("attn_q_norm.weight", dims_.head, kSharpness);
    Norm("attn_k_norm.weight", dims_.head, kSharpness);
  }
}

void PlanBuilder::FeedForward() {
  Matrix("ffn_gate.weight", dims_.embd, dims_.ff);
  Matrix("ffn_up.weight", dims_.embd, dims_.ff);
  Matrix("ffn_down.weight", dims_.ff, dims_.embd);
}

bool WorthGenerating(std::uint32_t token) {
  constexpr std::uint32_t kFirst = kFirstByte + 0x21;
  constexpr std::uint32_t kLast = kFirstByte + 0x7E;
  return token == kSpace || (token >= kFirst && token <= kLast);
}

/// SentencePiece's scheme without any merges: a text falls back to its bytes. A space is none of
/// them, since llama.cpp has turned it into U+2581 by then, as SentencePiece does.
std::vector<std::pair<std::string, GgufValue>> TokenizerKeys(ModelSize size) {
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {kUnknownType, kControlType, kControlType};
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
    texts.emplace_back(text.data());
    types.push_back(kByteType);
  }
  texts.emplace_back("\xE2\x96\x81");
  types.push_back(kNormalType);
  for (std::uint32_t i = kSpace + 1; i < TokensOf(size); ++i) {
    texts.push_back("<unused" + std::to_string(i) + ">");
    types.push_back(kUnusedType);
  }
  const std::string prefix = "tokenizer.ggml.";
  return {{prefix + "model", std::string("llama")},
          {prefix + "tokens", texts},
          {prefix + "scores", std::vector<float>(texts.size(), 0)},
          {prefix + "token_type", types},
          {prefix + "unknown_token_id", kUnknown},
          {prefix + "bos_token_id", kBegin},
          {prefix + "eos_token_id", kEnd},
          {prefix + "add_bos_token", true},
          {prefix + "add_eos_token", false},
          {prefix + "add_space_prefix", false}};
}

}  // namespace cairn::llama

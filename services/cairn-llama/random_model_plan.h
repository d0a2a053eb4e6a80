#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/cairn-llama/gguf_writer.h"
#include "services/cairn-llama/random_model.h"

/// What a random model consists of, before anything is drawn or written: plain data, so that the
/// architectures read as lists of hyperparameters and tensors.
namespace cairn::llama {

/// How the values of a tensor are drawn, with two parameters whose meaning it says.
enum class Draw {
  kUniform,   ///< Uniform, of mean a and standard deviation b.
  kDecay,     ///< Minus a log-uniform value from a to b: rates at which heads forget.
  kTimeStep,  ///< x so that softplus(x) is log-uniform from a to b.
  kLogits,    ///< Uniform, of deviation b for tokens worth generating and a for all others.
};

struct PlannedTensor {
  GgufTensor tensor;
  Draw draw = Draw::kUniform;
  float a = 0;
  float b = 1;
};

struct ModelPlan {
  std::vector<std::pair<std::string, GgufValue>> keys;
  std::vector<PlannedTensor> tensors;
};

/// Lengths that most architectures have.
struct Dims {
  std::uint32_t layers = 4;
  std::uint32_t embd = 64;
  std::uint32_t ff = 128;
  std::uint32_t heads = 2;
  std::uint32_t kv_heads = 1;
  std::uint32_t head = 32;  ///< Length of an attention head.
};

/// Collects a plan. Inputs of matrices are normalized, so matrices are scaled to give outputs of
/// about the same size as their inputs, times a gain.
class PlanBuilder {
 public:
  PlanBuilder(std::string arch, ModelSize size, const Dims& dims);

  [[nodiscard]] bool tiny() const { return size_ == ModelSize::kTiny; }
  [[nodiscard]] const Dims& dims() const { return dims_; }
  [[nodiscard]] ModelPlan Take() { return std::move(plan_); }

  /// `name` is without the architecture, which llama.cpp puts before it.
  void Key(std::string_view name, GgufValue value);
  /// Tensors that follow belong to this layer.
  void Layer(std::uint32_t index) { prefix_ = "blk." + std::to_string(index) + "."; }

  void Norm(std::string_view name, std::uint32_t length, float mean = 1);
  /// A weight matrix, in the model's precision; with `count` > 1, as many of them (experts, heads).
  void Matrix(std::string_view name, std::uint32_t in, std::uint32_t out, float gain = 1,
              std::uint32_t count = 1);
  /// Small tensors stay F32, whatever the precision of the matrices.
  void Small(std::string_view name, std::vector<std::int64_t> shape, Draw draw, float a, float b);
  /// A causal convolution of each channel on its own.
  void Convolution(std::string_view name, std::uint32_t taps, std::uint32_t channels);

  /// Embedding, output norm and output matrix. `embedding` is the deviation of an embedding.
  void Ends(float embedding = 1, std::string_view norm = "output_norm.weight");
  void AttentionKeys();
  /// `query_parts` is 2 where the query's matrix also gives a gate; `normalized` is whether queries
  /// and keys have norms of their own.
  void Attention(std::uint32_t query_parts, bool normalized);
  void FeedForward();

 private:
  std::string arch_;
  ModelSize size_;
  Dims dims_;
  std::string prefix_;
  ModelPlan plan_;
};

/// Size of queries and of keys where inputs have size 1. Their products are then well above 1, so
/// that a head picks a few tokens of the context, and others with each token. With small products
/// it would average all of them and say little of any, and greedy decoding would soon repeat one
/// token.
inline constexpr float kSharpness = 2;

/// Whether a token is of printable ASCII: what is generated of those reads back as the same tokens.
bool WorthGenerating(std::uint32_t token);
/// The tokens: <unk>, <s>, </s>, the 256 bytes, a space, and as many unused ones as the size has.
std::vector<std::pair<std::string, GgufValue>> TokenizerKeys(ModelSize size);

using PlanModel = ModelPlan (*)(ModelSize);
struct RandomArch {
  std::string_view name;
  PlanModel plan;
};
/// Sorted by name.
std::span<const RandomArch> RandomArchs();

}  // namespace cairn::llama

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/fidelity.h"
#include "libcache/base/result.h"

namespace cairn {

/// Element types of stored tensors.
enum class DType : std::uint8_t { kF32, kF16, kBF16, kF8, kI8 };

/// Bytes of one element.
std::uint32_t DTypeBytes(DType dtype);
std::string_view DTypeName(DType dtype);
/// Accepts "f32", "f16", "bf16", "f8", "i8" and the longer forms that engines use: "float32",
/// "fp32", "float", "half", "bfloat16", "fp8", "int8", ... Lower case only.
/// Errors: kInvalidArgument, quotes the name and lists the short ones.
Result<DType> ParseDType(std::string_view name);

/// Recurrences whose state sizes we can compute. Formulas: docs/models.md.
enum class RecurrentKind : std::uint8_t {
  kNone,
  kGatedDeltaNet,  ///< conv (K-1)(2 nk dk + nv dv), state nv dk dv.
  kKimiDelta,      ///< conv 3 (K-1) H d, state H d^2.
  kMamba1,         ///< conv (K-1) d_inner, state d_inner N.
  kMamba2,         ///< conv (K-1)(H P + 2 G N), state H P N.
  kLightning,      ///< No conv, state H d^2.
  kShortConv,      ///< LFM2: conv (K-1) d_model, no state.
};

/// As written in model files: "gated_delta_net", "mamba2", ...; "none" for kNone.
std::string_view RecurrentKindName(RecurrentKind kind);

/// Layers of one recurrent kind with equal shapes.
struct RecurrentLayers {
  RecurrentKind kind = RecurrentKind::kNone;
  std::uint32_t count = 0;
  std::uint32_t conv_width = 0;   ///< Kernel width K; K-1 columns are kept. 0: no convolution.
  std::uint32_t key_heads = 0;    ///< nk; for Mamba-2 the number of groups G.
  std::uint32_t value_heads = 0;  ///< nv or H.
  std::uint32_t key_dim = 0;      ///< dk; for Mamba N (state size).
  std::uint32_t value_dim = 0;    ///< dv or d; for Mamba-2 P (head dim); for Mamba-1 and conv, 1.
  std::uint32_t inner_dim = 0;    ///< Mamba-1 d_inner, short conv d_model; else 0.

  /// Elements of one layer on one of `ranks` tensor-parallel ranks. Heads, groups and inner
  /// channels are split, rounding up; where fewer than the ranks, each rank has a copy.
  [[nodiscard]] std::uint64_t ConvElements(std::uint32_t ranks = 1) const;
  [[nodiscard]] std::uint64_t StateElements(std::uint32_t ranks = 1) const;

  bool operator==(const RecurrentLayers&) const = default;
};

/// Attention layers of one shape. MLA keeps one latent vector and no V.
struct AttentionLayers {
  std::uint32_t count = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  bool latent = false;  ///< MLA: head_dim is latent + rope dims, kv_heads is 1, one tensor not two.

  /// Elements per token of one layer on one of `ranks` ranks. A latent is on every rank.
  [[nodiscard]] std::uint64_t KvElements(std::uint32_t ranks = 1) const;

  bool operator==(const AttentionLayers&) const = default;
};

/// Shapes of a model as far as a cache must know them. A value; all sizes follow from it.
/// Specs from LoadModelSpec and ParseModelSpec are within limits under which no size overflows,
/// not even the KV of the whole context; who fills one by hand keeps to the same (docs/models.md).
struct ModelSpec {
  std::string id;    ///< Lower case with hyphens: "qwen3.5-27b".
  std::string name;  ///< For people: "Qwen3.5-27B".
  std::vector<RecurrentLayers> recurrent;
  std::vector<AttentionLayers> attention;
  DType kv_dtype = DType::kBF16;
  DType state_dtype = DType::kF32;
  DType conv_dtype = DType::kBF16;
  std::uint32_t tensor_parallel = 1;  ///< Ranks, at least 1; sizes below are those of one rank.
  std::uint32_t context_tokens = 0;   ///< Longest prompt; 0 if unknown, as in all presets.
  Fidelity fidelity = Fidelity::kExact;
  /// How the engine lays out its objects: as of object_shape.h for one rank, kPackedShape, or empty
  /// for not declared.
  std::string checkpoint_shape = {};
  std::string kv_shape = {};

  /// Bytes of attention KV per token on one rank. Heads (and groups) fewer than the ranks are
  /// replicated, so the size stops shrinking there.
  [[nodiscard]] std::uint64_t KvBytesPerToken() const;
  /// Bytes of one checkpoint (all recurrent layers, state and conv window) on one rank.
  [[nodiscard]] std::uint64_t CheckpointBytes() const;
  /// The shapes as a namespace declares them: what kPackedShape stands for is worked out. Empty:
  /// not declared, or of elements that have no codec (f8, i8).
  [[nodiscard]] std::string CheckpointShape() const;
  [[nodiscard]] std::string KvShape() const;
  /// "kv=bf16,state=f32,conv=bf16": part of the namespace.
  [[nodiscard]] std::string DTypeText() const;
  [[nodiscard]] bool HasRecurrence() const { return CheckpointBytes() != 0; }

  bool operator==(const ModelSpec&) const = default;
};

/// The layout whose shape follows from the model (docs/models.md): of a checkpoint, states layer by
/// layer and head by head, rows of values and columns of keys, then all windows; of a block, layer
/// by layer its keys and then its values, token by token. Layers in the order of the lists.
inline constexpr std::string_view kPackedShape = "packed";

/// All built-in models, sorted by id.
std::span<const ModelSpec> ModelPresets();

/// A preset by its exact id.
/// Errors: kNotFound, with up to three near ids ("did you mean qwen3.5-27b?").
Result<ModelSpec> FindModelPreset(std::string_view id);

/// A preset by id, or the file at that path if `id_or_path` ends in ".json".
/// Errors: those of FindModelPreset; kNotFound and kIo for a file that is absent or cannot be read;
/// those of ParseModelSpec, with the path put before the field.
Result<ModelSpec> LoadModelSpec(const std::string& id_or_path);

/// Reads a model description (docs/models.md has the fields, limits and an example). Unknown and
/// duplicate fields are refused, so that a misspelt one cannot quietly become a default.
/// Errors: kInvalidArgument, the message names the field ("recurrent[0].value_heads: missing").
Result<ModelSpec> ParseModelSpec(std::string_view json);

}  // namespace cairn

#include "libcache/model/model_spec.h"

#include <array>

#include "libcache/base/check.h"

namespace cairn {
namespace {

struct DTypeAlias {
  std::string_view name;
  DType dtype;
};

constexpr std::array kDTypeAliases = std::to_array<DTypeAlias>({{"f32", DType::kF32},
                                                                {"float32", DType::kF32},
                                                                {"fp32", DType::kF32},
                                                                {"float", DType::kF32},
                                                                {"f16", DType::kF16},
                                                                {"float16", DType::kF16},
                                                                {"fp16", DType::kF16},
                                                                {"half", DType::kF16},
                                                                {"bf16", DType::kBF16},
                                                                {"bfloat16", DType::kBF16},
                                                                {"f8", DType::kF8},
                                                                {"float8", DType::kF8},
                                                                {"fp8", DType::kF8},
                                                                {"i8", DType::kI8},
                                                                {"int8", DType::kI8}});

/// Share of the largest rank. A dimension smaller than the ranks is copied to each: 1, not 0.
std::uint64_t PerRank(std::uint32_t dim, std::uint32_t ranks) {
  CAIRN_CHECK(ranks > 0);
  return (std::uint64_t{dim} + ranks - 1) / ranks;
}

}  // namespace

std::uint32_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32: return 4;
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kF8:
    case DType::kI8: return 1;
  }
  CAIRN_CHECK(false && "not a DType");
}

std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kF16: return "f16";
    case DType::kBF16: return "bf16";
    case DType::kF8: return "f8";
    case DType::kI8: return "i8";
  }
  CAIRN_CHECK(false && "not a DType");
}

Result<DType> ParseDType(std::string_view name) {
  for (const DTypeAlias& alias : kDTypeAliases) {
    if (alias.name == name) {
      return alias.dtype;
    }
  }
  return Fail(ErrorCode::kInvalidArgument,
              "'" + std::string(name) + "' is not one of f32, f16, bf16, f8, i8");
}

std::string_view RecurrentKindName(RecurrentKind kind) {
  switch (kind) {
    case RecurrentKind::kNone: return "none";
    case RecurrentKind::kGatedDeltaNet: return "gated_delta_net";
    case RecurrentKind::kKimiDelta: return "kimi_delta";
    case RecurrentKind::kMamba1: return "mamba1";
    case RecurrentKind::kMamba2: return "mamba2";
    case RecurrentKind::kLightning: return "lightning";
    case RecurrentKind::kShortConv: return "short_conv";
  }
  CAIRN_CHECK(false && "not a RecurrentKind");
}

std::uint64_t RecurrentLayers::ConvElements(std::uint32_t ranks) const {
  const std::uint64_t columns = conv_width == 0 ? 0 : conv_width - 1;
  const std::uint64_t keys = PerRank(key_heads, ranks);
  const std::uint64_t values = PerRank(value_heads, ranks);
  switch (kind) {
    case RecurrentKind::kNone:
    case RecurrentKind::kLightning: return 0;
    // Q and K have nk heads, V has nv; one convolution runs over the three together.
    case RecurrentKind::kGatedDeltaNet: return columns * (2 * keys * key_dim + values * value_dim);
    // Three convolutions of equal width, over Q, K and V.
    case RecurrentKind::kKimiDelta: return columns * 3 * values * value_dim;
    case RecurrentKind::kMamba1:
    case RecurrentKind::kShortConv: return columns * PerRank(inner_dim, ranks);
    // x has H heads of P, B and C have G groups of N.
    case RecurrentKind::kMamba2: return columns * (values * value_dim + 2 * keys * key_dim);
  }
  CAIRN_CHECK(false && "not a RecurrentKind");
}

std::uint64_t RecurrentLayers::StateElements(std::uint32_t ranks) const {
  switch (kind) {
    case RecurrentKind::kNone:
    case RecurrentKind::kShortConv: return 0;
    case RecurrentKind::kGatedDeltaNet:
    case RecurrentKind::kMamba2: return PerRank(value_heads, ranks) * key_dim * value_dim;
    case RecurrentKind::kKimiDelta:
    case RecurrentKind::kLightning: return PerRank(value_heads, ranks) * value_dim * value_dim;
    case RecurrentKind::kMamba1: return PerRank(inner_dim, ranks) * key_dim;
  }
  CAIRN_CHECK(false && "not a RecurrentKind");
}

std::uint64_t AttentionLayers::KvElements(std::uint32_t ranks) const {
  const std::uint64_t tensors = latent ? 1 : 2;
  return tensors * PerRank(kv_heads, ranks) * head_dim;
}

std::uint64_t ModelSpec::KvBytesPerToken() const {
  std::uint64_t elements = 0;
  for (const AttentionLayers& layers : attention) {
    elements += layers.count * layers.KvElements(tensor_parallel);
  }
  return elements * DTypeBytes(kv_dtype);
}

std::uint64_t ModelSpec::CheckpointBytes() const {
  std::uint64_t state = 0;
  std::uint64_t conv = 0;
  for (const RecurrentLayers& layers : recurrent) {
    state += layers.count * layers.StateElements(tensor_parallel);
    conv += layers.count * layers.ConvElements(tensor_parallel);
  }
  return state * DTypeBytes(state_dtype) + conv * DTypeBytes(conv_dtype);
}

std::string ModelSpec::DTypeText() const {
  std::string text = "kv=";
  text += DTypeName(kv_dtype);
  text += ",state=";
  text += DTypeName(state_dtype);
  text += ",conv=";
  text += DTypeName(conv_dtype);
  return text;
}

}  // namespace cairn

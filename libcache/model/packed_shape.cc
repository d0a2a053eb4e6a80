// The shapes of the layout "packed" (docs/models.md).
#include <optional>

#include "libcache/base/check.h"
#include "libcache/model/model_spec.h"

namespace cairn {
namespace {

/// As shapes name it; nullopt: no codec takes such elements apart.
std::optional<std::string_view> ShapeElement(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: return DTypeName(dtype);
    case DType::kF8:
    case DType::kI8: return std::nullopt;
  }
  CAIRN_CHECK(false && "not a DType");
}

/// `rows` may be a number or "t".
void AddSection(std::string& shape, std::string_view element, std::uint64_t matrices,
                const std::string& rows, std::uint64_t columns) {
  shape += shape.empty() ? "" : ",";
  shape += std::string(element) + "[" + std::to_string(matrices) + "x" + rows + "x" +
           std::to_string(columns) + "]";
}

/// Rows and columns of one matrix of a layer's state, and how many there are.
struct StateMatrices {
  std::uint64_t count = 0;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
};

StateMatrices MatricesOf(const RecurrentLayers& layers, std::uint32_t ranks) {
  const std::uint64_t elements = layers.StateElements(ranks);
  std::uint64_t rows = layers.value_dim;
  std::uint64_t columns = layers.key_dim;
  switch (layers.kind) {
    case RecurrentKind::kNone:
    case RecurrentKind::kShortConv: return {};
    case RecurrentKind::kGatedDeltaNet:
    case RecurrentKind::kMamba2: break;
    case RecurrentKind::kKimiDelta:
    case RecurrentKind::kLightning: columns = layers.value_dim; break;
    case RecurrentKind::kMamba1: rows = elements / columns; break;  // All channels of a layer.
  }
  return {.count = elements / (rows * columns), .rows = rows, .columns = columns};
}

}  // namespace

std::string ModelSpec::CheckpointShape() const {
  if (checkpoint_shape != kPackedShape) {
    return checkpoint_shape;
  }
  std::string shape;
  const auto element = ShapeElement(state_dtype);
  for (const RecurrentLayers& layers : recurrent) {
    const StateMatrices state = MatricesOf(layers, tensor_parallel);
    if (element && state.count != 0) {
      AddSection(shape, *element, layers.count * state.count, std::to_string(state.rows),
                 state.columns);
    }
  }
  return shape;
}

std::string ModelSpec::KvShape() const {
  if (kv_shape != kPackedShape) {
    return kv_shape;
  }
  std::string shape;
  const auto element = ShapeElement(kv_dtype);
  for (const AttentionLayers& layers : attention) {
    const std::uint64_t tensors = layers.latent ? 1 : 2;
    if (element) {
      AddSection(shape, *element, layers.count * tensors, "t",
                 layers.KvElements(tensor_parallel) / tensors);
    }
  }
  return shape;
}

}  // namespace cairn

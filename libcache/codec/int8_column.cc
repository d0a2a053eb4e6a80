#include "libcache/codec/int8_column.h"

#include <algorithm>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/codec/quantise.h"
#include "libcache/codec/values.h"

namespace cairn {
namespace {

class Int8Column final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override { return CodecId::kInt8Column; }
  [[nodiscard]] std::string_view name() const override { return "int8_column"; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kCompact; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    return internal::CheckValues(shape, raw_bytes);
  }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                              std::uint64_t) const override {
    return ScaleBytes(shape) + std::uint64_t{shape.matrices} * shape.rows * shape.columns;
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const std::size_t row_bytes = shape.columns * ElementBytes(shape.element);
    std::byte* codes = out.data() + ScaleBytes(shape);
    std::vector<float> row(shape.columns);
    std::vector<float> scales(shape.columns);
    for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
      const std::byte* const from = raw.data() + matrix * shape.rows * row_bytes;
      std::fill(scales.begin(), scales.end(), 0.0F);
      for (std::size_t i = 0; i < shape.rows; ++i) {
        internal::LoadValues(shape.element, from + i * row_bytes, row);
        for (std::size_t j = 0; j < row.size(); ++j) {
          const float size = internal::Magnitude(row[j]);
          scales[j] = internal::IsFinite(row[j]) && size > scales[j] ? size : scales[j];
        }
      }
      for (float& scale : scales) {
        scale = internal::ScaleOf(scale, internal::kInt8Max);
      }
      std::memcpy(out.data() + matrix * scales.size() * 4, scales.data(), scales.size() * 4);
      for (std::size_t i = 0; i < shape.rows; ++i) {
        internal::LoadValues(shape.element, from + i * row_bytes, row);
        for (std::size_t j = 0; j < row.size(); ++j) {
          *codes++ = static_cast<std::byte>(internal::ToInt8(row[j], scales[j]));
        }
      }
    }
    return static_cast<std::size_t>(codes - out.data());
  }

  Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    if (payload.size() != MaxPayloadBytes(shape, out.size())) {
      return Fail(ErrorCode::kCorrupt, "an int8_column payload has a wrong length");
    }
    const std::size_t row_bytes = shape.columns * ElementBytes(shape.element);
    const std::byte* codes = payload.data() + ScaleBytes(shape);
    std::vector<float> row(shape.columns);
    std::vector<float> scales(shape.columns);
    for (std::size_t i = 0; i < std::size_t{shape.matrices} * shape.rows; ++i) {
      if (i % shape.rows == 0) {
        std::memcpy(scales.data(), payload.data() + i / shape.rows * scales.size() * 4,
                    scales.size() * 4);
      }
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[j] = internal::FromInt8(static_cast<std::int8_t>(*codes++), scales[j]);
      }
      internal::StoreValues(shape.element, row, out.data() + i * row_bytes);
    }
    return {};
  }

 private:
  static std::uint64_t ScaleBytes(const CodecShape& shape) {
    return std::uint64_t{shape.matrices} * shape.columns * 4;
  }
};

}  // namespace

const Codec& Int8ColumnCodec() {
  static const Int8Column codec;
  return codec;
}

}  // namespace cairn

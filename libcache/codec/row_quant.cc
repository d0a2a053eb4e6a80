#include "libcache/codec/row_quant.h"

#include <algorithm>
#include <vector>

#include "libcache/codec/quantise.h"
#include "libcache/codec/values.h"

namespace cairn {
namespace {

constexpr std::size_t kGroup = 128;

struct Int8 {
  static constexpr CodecId kId = CodecId::kInt8Kv;
  static constexpr std::string_view kName = "int8_kv";
  static constexpr float kMost = internal::kInt8Max;
  static std::byte Put(float x, float scale) {
    return static_cast<std::byte>(internal::ToInt8(x, scale));
  }
  static float Get(std::byte code, float scale) {
    return internal::FromInt8(static_cast<std::int8_t>(code), scale);
  }
};

struct Fp8 {
  static constexpr CodecId kId = CodecId::kFp8Kv;
  static constexpr std::string_view kName = "fp8_kv";
  static constexpr float kMost = internal::kFp8Max;
  static std::byte Put(float x, float scale) {
    return static_cast<std::byte>(internal::ToFp8(x, scale));
  }
  static float Get(std::byte code, float scale) {
    return internal::FromFp8(std::to_integer<std::uint8_t>(code), scale);
  }
};

template <class Code>
class RowQuant final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override { return Code::kId; }
  [[nodiscard]] std::string_view name() const override { return Code::kName; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kCompact; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    return internal::CheckValues(shape, raw_bytes);
  }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                              std::uint64_t) const override {
    return ScaleBytes(shape) + Rows(shape) * shape.columns;
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    std::byte* scales = out.data();
    std::byte* codes = out.data() + ScaleBytes(shape);
    std::vector<float> row(shape.columns);
    const std::size_t row_bytes = row.size() * ElementBytes(shape.element);
    for (std::size_t i = 0; i < Rows(shape); ++i) {
      internal::LoadValues(shape.element, raw.data() + i * row_bytes, row);
      for (std::size_t at = 0; at < row.size(); at += kGroup) {
        const auto group = std::span(row).subspan(at, std::min(kGroup, row.size() - at));
        const float scale = internal::ScaleOf(internal::FiniteMax(group), Code::kMost);
        std::memcpy(scales, &scale, 4);
        scales += 4;
        for (const float x : group) {
          *codes++ = Code::Put(x, scale);
        }
      }
    }
    return static_cast<std::size_t>(codes - out.data());
  }

  Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    if (payload.size() != MaxPayloadBytes(shape, out.size())) {
      return Fail(ErrorCode::kCorrupt, "a payload of quantised rows has a wrong length");
    }
    const std::byte* scales = payload.data();
    const std::byte* codes = payload.data() + ScaleBytes(shape);
    std::vector<float> row(shape.columns);
    const std::size_t row_bytes = row.size() * ElementBytes(shape.element);
    for (std::size_t i = 0; i < Rows(shape); ++i) {
      for (std::size_t at = 0; at < row.size(); at += kGroup) {
        float scale = 0;
        std::memcpy(&scale, scales, 4);
        scales += 4;
        for (float& x : std::span(row).subspan(at, std::min(kGroup, row.size() - at))) {
          x = Code::Get(*codes++, scale);
        }
      }
      internal::StoreValues(shape.element, row, out.data() + i * row_bytes);
    }
    return {};
  }

 private:
  static std::uint64_t Rows(const CodecShape& shape) {
    return std::uint64_t{shape.matrices} * shape.rows;
  }
  static std::uint64_t ScaleBytes(const CodecShape& shape) {
    return Rows(shape) * ((shape.columns + kGroup - 1) / kGroup) * 4;
  }
};

}  // namespace

const Codec& Int8KvCodec() {
  static const RowQuant<Int8> codec;
  return codec;
}

const Codec& Fp8KvCodec() {
  static const RowQuant<Fp8> codec;
  return codec;
}

}  // namespace cairn

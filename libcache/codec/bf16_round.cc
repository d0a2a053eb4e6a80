#include "libcache/codec/bf16_round.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "libcache/base/check.h"
#include "libcache/codec/exponent_split.h"
#include "libcache/codec/values.h"

namespace cairn {
namespace {

constexpr CodecShape kRounded{.element = Element::kBF16};

std::uint16_t Round(float value) {
  constexpr std::uint16_t kMagnitude = 0x7FFF;
  constexpr std::uint16_t kInfinite = 0x7F80;
  if (value != value) {
    return kernels::kNanBits >> 16U;
  }
  const std::uint16_t rounded = kernels::Bf16Bits(value);
  const bool made_up = internal::IsFinite(value) && (rounded & kMagnitude) == kInfinite;
  return made_up ? static_cast<std::uint16_t>(rounded - 1) : rounded;
}

class Bf16Round final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override { return CodecId::kBf16Round; }
  [[nodiscard]] std::string_view name() const override { return "bf16_round"; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kNear; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    if (shape.element != Element::kF32) {
      return Fail(ErrorCode::kInvalidArgument, "bf16_round needs elements of f32");
    }
    return internal::CheckValues(shape, raw_bytes);
  }

  /// With room for the rounded values behind the payload.
  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape&,
                                              std::uint64_t raw_bytes) const override {
    const std::uint64_t rounded = raw_bytes / 2;
    return ExponentSplitCodec().MaxPayloadBytes(kRounded, rounded) + rounded;
  }

  std::size_t EncodePayload(const CodecShape&, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const std::size_t bytes = raw.size() / 2;
    CAIRN_CHECK(out.size() >= bytes);
    const auto rounded = out.last(bytes);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): read as far as it was filled.
    std::array<float, 1024> values;
    for (std::size_t at = 0; at < bytes / 2; at += values.size()) {
      const auto some = std::span(values).first(std::min(values.size(), bytes / 2 - at));
      std::memcpy(some.data(), raw.data() + 4 * at, 4 * some.size());
      for (std::size_t i = 0; i < some.size(); ++i) {
        const std::uint16_t half = Round(some[i]);
        std::memcpy(rounded.data() + 2 * (at + i), &half, 2);
      }
    }
    return ExponentSplitCodec().EncodePayload(kRounded, rounded, out.first(out.size() - bytes));
  }

  Status DecodePayload(const CodecShape&, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    const auto rounded = out.last(out.size() / 2);
    if (auto decoded = ExponentSplitCodec().DecodePayload(kRounded, payload, rounded); !decoded) {
      return decoded;
    }
    // In place, front to back: element i ends at 4 i + 4, and the next to be read is not before.
    for (std::size_t i = 0; i < rounded.size() / 2; ++i) {
      std::uint16_t half = 0;
      std::memcpy(&half, rounded.data() + 2 * i, 2);
      const std::uint32_t bits = std::uint32_t{half} << 16U;
      std::memcpy(out.data() + 4 * i, &bits, 4);
    }
    return {};
  }
};

}  // namespace

const Codec& Bf16RoundCodec() {
  static const Bf16Round codec;
  return codec;
}

}  // namespace cairn

#include "libcache/codec/kivi.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "libcache/base/endian.h"
#include "libcache/codec/quantise.h"
#include "libcache/codec/values.h"

namespace cairn {
namespace {

constexpr std::size_t kGroup = 32;
constexpr std::size_t kPrefixBytes = 8;  // Elements of a group, tokens kept as they are.

/// Where the parts of a payload begin: lows (of the elements' type) and scales (bf16) of all
/// groups, codes, rows that are kept.
struct Layout {
  Layout(const CodecShape& shape, std::uint32_t bits, std::uint64_t kept_rows) {
    const std::uint64_t rows = shape.rows - kept_rows;
    const std::uint64_t keys = (shape.matrices + 1) / 2;
    const std::uint64_t values = shape.matrices / 2;
    const std::uint64_t groups = keys * (rows / kGroup) * shape.columns +
                                 values * rows * ((shape.columns + kGroup - 1) / kGroup);
    scales = kPrefixBytes + Padded(groups * ElementBytes(shape.element));
    codes = scales + Padded(groups * 2);
    kept = codes + groups * kGroup * bits / 8;
    end = kept +
          std::uint64_t{shape.matrices} * kept_rows * shape.columns * ElementBytes(shape.element);
  }
  static std::uint64_t Padded(std::uint64_t bytes) { return (bytes + 3) / 4 * 4; }

  std::uint64_t scales = 0;
  std::uint64_t codes = 0;
  std::uint64_t kept = 0;
  std::uint64_t end = 0;
};

template <std::uint32_t kBits>
class Kivi final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override {
    return kBits == 2 ? CodecId::kKivi2 : CodecId::kKivi4;
  }
  [[nodiscard]] std::string_view name() const override { return kBits == 2 ? "kivi2" : "kivi4"; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kCompact; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    return internal::CheckValues(shape, raw_bytes);
  }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                              std::uint64_t) const override {
    return Layout(shape, kBits, shape.rows % kGroup).end;
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const std::uint32_t kept_rows = shape.rows % kGroup;
    const Layout layout(shape, kBits, kept_rows);
    std::fill_n(out.begin(), layout.codes, std::byte{0});  // The padding, too.
    StoreLe(out, 0, static_cast<std::uint32_t>(kGroup));
    StoreLe(out, 4, kept_rows);
    Cursor<std::byte> cursor(out.data(), layout);
    const std::size_t width = ElementBytes(shape.element);
    const std::size_t row_bytes = shape.columns * width;
    std::vector<float> rows(kGroup * shape.columns);
    for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
      const std::byte* const from = raw.data() + matrix * shape.rows * row_bytes;
      for (std::size_t row = 0; row + kGroup <= shape.rows - kept_rows; row += kGroup) {
        internal::LoadValues(shape.element, from + row * row_bytes, rows);
        EncodeRows(shape, matrix % 2 == 0, rows, cursor);
      }
      std::memcpy(cursor.kept, from + (shape.rows - kept_rows) * row_bytes, kept_rows * row_bytes);
      cursor.kept += kept_rows * row_bytes;
    }
    return layout.end;
  }

  Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    const auto corrupt = [] { return Fail(ErrorCode::kCorrupt, "a KIVI payload is damaged"); };
    if (payload.size() < kPrefixBytes || LoadLe<std::uint32_t>(payload, 0) != kGroup) {
      return corrupt();
    }
    const auto kept_rows = LoadLe<std::uint32_t>(payload, 4);
    if (kept_rows > shape.rows || (shape.rows - kept_rows) % kGroup != 0 ||
        payload.size() != Layout(shape, kBits, kept_rows).end) {
      return corrupt();
    }
    Cursor<const std::byte> cursor(payload.data(), Layout(shape, kBits, kept_rows));
    const std::size_t row_bytes = shape.columns * ElementBytes(shape.element);
    std::vector<float> rows(kGroup * shape.columns);
    for (std::size_t matrix = 0; matrix < shape.matrices; ++matrix) {
      std::byte* const to = out.data() + matrix * shape.rows * row_bytes;
      for (std::size_t row = 0; row + kGroup <= shape.rows - kept_rows; row += kGroup) {
        DecodeRows(shape, matrix % 2 == 0, rows, cursor);
        internal::StoreValues(shape.element, rows, to + row * row_bytes);
      }
      std::memcpy(to + (shape.rows - kept_rows) * row_bytes, cursor.kept, kept_rows * row_bytes);
      cursor.kept += kept_rows * row_bytes;
    }
    return {};
  }

 private:
  static constexpr std::int32_t kMost = (1 << kBits) - 1;
  static constexpr std::size_t kCodeBytes = kGroup * kBits / 8;

  template <class Byte>
  struct Cursor {
    Cursor(Byte* base, const Layout& layout)
        : low(base + kPrefixBytes),
          scale(base + layout.scales),
          codes(base + layout.codes),
          kept(base + layout.kept) {}
    Byte* low;
    Byte* scale;
    Byte* codes;
    Byte* kept;
  };

  /// The groups of kGroup rows in the order of the format: keys by channel, values by token and
  /// then by run of channels. Calls visit(first element, distance of the others, how many).
  template <class Visit>
  static void ForGroups(const CodecShape& shape, bool keys, const Visit& visit) {
    if (keys) {
      for (std::size_t channel = 0; channel < shape.columns; ++channel) {
        visit(channel, shape.columns, kGroup);
      }
      return;
    }
    for (std::size_t token = 0; token < kGroup; ++token) {
      for (std::size_t channel = 0; channel < shape.columns; channel += kGroup) {
        visit(token * shape.columns + channel, 1, std::min(kGroup, shape.columns - channel));
      }
    }
  }

  static void EncodeRows(const CodecShape& shape, bool keys, std::span<const float> rows,
                         Cursor<std::byte>& cursor) {
    ForGroups(shape, keys, [&](std::size_t first, std::size_t apart, std::size_t count) {
      std::array<float, kGroup> group{};
      bool finite = true;
      float low = rows[first];
      float high = rows[first];
      for (std::size_t i = 0; i < count; ++i) {
        group[i] = rows[first + i * apart];
        finite = finite && internal::IsFinite(group[i]);
        low = group[i] < low ? group[i] : low;
        high = group[i] > high ? group[i] : high;
      }
      finite = finite && high - low <= internal::kMaxDifference;
      low = finite ? low : std::bit_cast<float>(internal::kNanBits);
      float scale = finite ? internal::ScaleOf(high - low, static_cast<float>(kMost)) : 0.0F;
      scale = scale > 0.0F ? internal::FromBFloat16(internal::ToBFloat16Up(scale)) : 0.0F;
      const std::uint16_t stored = internal::ToBFloat16(scale);
      internal::StoreValues(shape.element, {&low, 1}, cursor.low);
      cursor.low += ElementBytes(shape.element);
      std::memcpy(cursor.scale, &stored, 2);
      cursor.scale += 2;
      std::array<std::uint8_t, kCodeBytes> codes{};
      for (std::size_t i = 0; i < count && scale > 0.0F; ++i) {
        const auto code = static_cast<std::uint32_t>(
            std::max(0, internal::Quantise(group[i] - low, scale, kMost)));
        codes[i * kBits / 8] =
            static_cast<std::uint8_t>(codes[i * kBits / 8] | code << (i * kBits % 8));
      }
      std::memcpy(cursor.codes, codes.data(), kCodeBytes);
      cursor.codes += kCodeBytes;
    });
  }

  static void DecodeRows(const CodecShape& shape, bool keys, std::span<float> rows,
                         Cursor<const std::byte>& cursor) {
    ForGroups(shape, keys, [&](std::size_t first, std::size_t apart, std::size_t count) {
      float low = 0;
      internal::LoadValues(shape.element, cursor.low, {&low, 1});
      cursor.low += ElementBytes(shape.element);
      std::uint16_t stored = 0;
      std::memcpy(&stored, cursor.scale, 2);
      cursor.scale += 2;
      const float scale = internal::FromBFloat16(stored);
      for (std::size_t i = 0; i < count; ++i) {
        const auto byte = std::to_integer<std::uint32_t>(cursor.codes[i * kBits / 8]);
        const auto code = byte >> (i * kBits % 8) & static_cast<std::uint32_t>(kMost);
        rows[first + i * apart] = low + static_cast<float>(code) * scale;
      }
      cursor.codes += kCodeBytes;
    });
  }
};

}  // namespace

const Codec& Kivi2Codec() {
  static const Kivi<2> codec;
  return codec;
}

const Codec& Kivi4Codec() {
  static const Kivi<4> codec;
  return codec;
}

}  // namespace cairn

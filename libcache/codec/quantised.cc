#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cairn_kernels.h"
#include "libcache/base/check.h"
#include "libcache/codec/int8_column.h"
#include "libcache/codec/kivi.h"
#include "libcache/codec/row_quant.h"
#include "libcache/codec/values.h"

// The lossy codecs without entropy coding. A GPU writes and reads their payloads too, so the work
// is done in kernels/quantise.
namespace cairn {
namespace {

int DtypeOf(Element element) {
  CAIRN_CHECK(element != Element::kBytes);  // Check refused it.
  return element == Element::kF32   ? CAIRN_KERNELS_F32
         : element == Element::kF16 ? CAIRN_KERNELS_F16
                                    : CAIRN_KERNELS_BF16;
}

bool AlignedTo(std::size_t bytes, const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}
bool Aligned(const CodecShape& shape, const std::byte* values) {
  return AlignedTo(ElementBytes(shape.element), values);
}
bool Aligned(const std::byte* payload) { return AlignedTo(4, payload); }

class Quantised final : public Codec {
 public:
  Quantised(CodecId id, std::string_view name) : id_(id), name_(name) {}

  [[nodiscard]] CodecId id() const override { return id_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kCompact; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    return internal::CheckValues(shape, raw_bytes);
  }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                              std::uint64_t) const override {
    const auto args = ArgsOf(shape);
    return static_cast<std::uint64_t>(cairn_kernels_quantised_bytes(
        args.codec, args.dtype, args.matrices, args.rows, args.columns));
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const std::span<std::byte> payload = out.first(MaxPayloadBytes(shape, raw.size()));
    if (!Aligned(shape, raw.data())) {
      return EncodePayload(shape, std::vector(raw.begin(), raw.end()), out);
    }
    if (!Aligned(payload.data())) {
      std::vector<std::byte> aligned(payload.size());
      EncodePayload(shape, raw, aligned);
      std::memcpy(payload.data(), aligned.data(), aligned.size());
      return aligned.size();
    }
    auto args = ArgsOf(shape);
    args.values = const_cast<std::byte*>(raw.data());  // Encoding only reads them.
    args.payload = payload.data();
    args.payload_bytes = static_cast<std::int64_t>(payload.size());
    CAIRN_CHECK(cairn_kernels_quantise_cpu(&args, 0, 1) == CAIRN_KERNELS_OK);
    return payload.size();
  }

  Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    if (!Aligned(payload.data())) {
      return DecodePayload(shape, std::vector(payload.begin(), payload.end()), out);
    }
    if (!Aligned(shape, out.data())) {
      std::vector<std::byte> aligned(out.size());
      const auto status = DecodePayload(shape, payload, aligned);
      std::memcpy(out.data(), aligned.data(), aligned.size());
      return status;
    }
    auto args = ArgsOf(shape);
    args.decode = 1;
    args.values = out.data();
    args.payload = const_cast<std::byte*>(payload.data());  // Decoding only reads it.
    args.payload_bytes = static_cast<std::int64_t>(payload.size());
    if (payload.empty() || cairn_kernels_quantise_cpu(&args, 0, 1) != CAIRN_KERNELS_OK) {
      return Fail(ErrorCode::kCorrupt,
                  "a payload of " + std::string(name_) + " has a wrong length or head");
    }
    return {};
  }

 private:
  [[nodiscard]] cairn_kernels_quantise ArgsOf(const CodecShape& shape) const {
    cairn_kernels_quantise args{};
    args.struct_bytes = sizeof(args);
    args.codec = static_cast<std::int32_t>(id_);
    args.dtype = DtypeOf(shape.element);
    args.matrices = static_cast<std::int32_t>(shape.matrices);
    args.rows = static_cast<std::int32_t>(shape.rows);
    args.columns = static_cast<std::int32_t>(shape.columns);
    return args;
  }

  const CodecId id_;
  const std::string_view name_;
};

}  // namespace

const Codec& Int8ColumnCodec() {
  static const Quantised codec(CodecId::kInt8Column, "int8_column");
  return codec;
}
const Codec& Fp8KvCodec() {
  static const Quantised codec(CodecId::kFp8Kv, "fp8_kv");
  return codec;
}
const Codec& Int8KvCodec() {
  static const Quantised codec(CodecId::kInt8Kv, "int8_kv");
  return codec;
}
const Codec& Kivi2Codec() {
  static const Quantised codec(CodecId::kKivi2, "kivi2");
  return codec;
}
const Codec& Kivi4Codec() {
  static const Quantised codec(CodecId::kKivi4, "kivi4");
  return codec;
}

}  // namespace cairn

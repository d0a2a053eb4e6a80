#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/launch/parts.h"
#include "kernels/quantise/check.h"
#include "kernels/quantise/kivi.h"
#include "kernels/quantise/layout.h"
#include "kernels/quantise/number.h"

namespace cairn::kernels {
namespace {

/// A matrix of int8_column. The scales serve as the columns' largest values first.
template <class T>
void EncodeColumns(const T* from, std::int64_t rows, std::int64_t columns, float* scales,
                   std::uint8_t* codes) {
  std::fill_n(scales, columns, 0.0F);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const float x = ToFloat(from[i * columns + j]);
      const float size = Magnitude(x);
      scales[j] = IsFinite(x) && size > scales[j] ? size : scales[j];
    }
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    scales[j] = ScaleOf(scales[j], kInt8Max);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      codes[i * columns + j] = Int8Code::Put(ToFloat(from[i * columns + j]), scales[j]);
    }
  }
}
template <class T>
void DecodeColumns(const std::uint8_t* codes, const float* scales, std::int64_t rows,
                   std::int64_t columns, T* to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      to[i * columns + j] = StoredElement<T>(Int8Code::Get(codes[i * columns + j], scales[j]));
    }
  }
}

/// A row of fp8_kv or int8_kv.
template <class Code, class T>
void EncodeRow(const T* from, std::int64_t columns, float* scales, std::uint8_t* codes) {
  for (std::int64_t at = 0; at < columns; at += kRowGroup) {
    const std::int64_t end = std::min<std::int64_t>(columns, at + kRowGroup);
    float most = 0.0F;
    for (std::int64_t j = at; j < end; ++j) {
      const float x = ToFloat(from[j]);
      const float size = Magnitude(x);
      most = IsFinite(x) && size > most ? size : most;
    }
    const float scale = ScaleOf(most, Code::kMost);
    *scales++ = scale;
    for (std::int64_t j = at; j < end; ++j) {
      codes[j] = Code::Put(ToFloat(from[j]), scale);
    }
  }
}
template <class Code, class T>
void DecodeRow(const std::uint8_t* codes, const float* scales, std::int64_t columns, T* to) {
  for (std::int64_t j = 0; j < columns; ++j) {
    to[j] = StoredElement<T>(Code::Get(codes[j], scales[j / kRowGroup]));
  }
}

template <class T>
void Columns(const cairn_kernels_quantise& args, Share matrices) {
  auto* scales = static_cast<float*>(args.payload);
  auto* codes = static_cast<std::uint8_t*>(args.payload) + 4 * ScaleCount(args);
  const std::int64_t each = std::int64_t{args.rows} * args.columns;
  for (std::int64_t m = matrices.first; m < matrices.last; ++m) {
    T* values = static_cast<T*>(args.values) + m * each;
    float* const of = scales + m * args.columns;
    args.decode == 0 ? EncodeColumns<T>(values, args.rows, args.columns, of, codes + m * each)
                     : DecodeColumns<T>(codes + m * each, of, args.rows, args.columns, values);
  }
}

template <class Code, class T>
void Rows(const cairn_kernels_quantise& args, Share rows) {
  auto* scales = static_cast<float*>(args.payload);
  auto* codes = static_cast<std::uint8_t*>(args.payload) + 4 * ScaleCount(args);
  const std::int64_t columns = args.columns;
  const std::int64_t groups = (columns + kRowGroup - 1) / kRowGroup;
  for (std::int64_t i = rows.first; i < rows.last; ++i) {
    T* values = static_cast<T*>(args.values) + i * columns;
    args.decode == 0
        ? EncodeRow<Code, T>(values, columns, scales + i * groups, codes + i * columns)
        : DecodeRow<Code, T>(codes + i * columns, scales + i * groups, columns, values);
  }
}

template <class T, int kBits>
class Kivi {
 public:
  Kivi(const cairn_kernels_quantise& args, std::int32_t kept_rows)
      : args_(args), kept_rows_(kept_rows), layout_(args, kept_rows) {}

  void Run(std::int32_t part, std::int32_t parts) const {
    auto* const payload = static_cast<unsigned char*>(args_.payload);
    T* const lows = reinterpret_cast<T*>(payload + layout_.lows);
    auto* const scales = reinterpret_cast<std::uint16_t*>(payload + layout_.scales);
    auto* const codes = reinterpret_cast<std::uint32_t*>(payload + layout_.codes);
    const Share groups = ShareOf(layout_.groups, part, parts);
    for (std::int64_t g = groups.first; g < groups.last; ++g) {
      const KiviGroup group = KiviGroupAt(args_, layout_, g);
      const KiviValues<T> values = {static_cast<T*>(args_.values) + group.first, group.apart,
                                    group.count};
      const KiviCoded<T> coded = {lows + g, scales + g, codes + g * kBits};
      args_.decode == 0 ? EncodeKiviGroup<T, kBits>(values, coded)
                        : DecodeKiviGroup<T, kBits>(coded, values);
    }
    const Share matrices = ShareOf(args_.matrices, part, parts);
    for (std::int64_t m = matrices.first; m < matrices.last; ++m) {
      Keep(m, payload + layout_.kept);
    }
    if (part == 0 && args_.decode == 0) {
      Head(payload);
    }
  }

 private:
  void Keep(std::int64_t matrix, unsigned char* kept) const {
    const std::int64_t row = std::int64_t{args_.columns} * static_cast<std::int64_t>(sizeof(T));
    unsigned char* const inside =
        static_cast<unsigned char*>(args_.values) + ((matrix + 1) * args_.rows - kept_rows_) * row;
    unsigned char* const outside = kept + matrix * kept_rows_ * row;
    const auto bytes = static_cast<std::size_t>(kept_rows_ * row);
    args_.decode == 0 ? std::memcpy(outside, inside, bytes) : std::memcpy(inside, outside, bytes);
  }
  void Head(unsigned char* payload) const {
    const std::uint32_t head[2] = {kKiviGroup, static_cast<std::uint32_t>(kept_rows_)};
    std::memcpy(payload, head, sizeof(head));
    const std::int64_t low_end = layout_.lows + layout_.groups * std::int64_t{sizeof(T)};
    const std::int64_t scale_end = layout_.scales + layout_.groups * 2;
    std::fill(payload + low_end, payload + layout_.scales, 0);
    std::fill(payload + scale_end, payload + layout_.codes, 0);
  }

  const cairn_kernels_quantise& args_;
  const std::int32_t kept_rows_;
  const KiviLayout layout_;
};

template <class T>
cairn_kernels_status Run(const cairn_kernels_quantise& args, std::int32_t part,
                         std::int32_t parts) {
  const Share rows = ShareOf(std::int64_t{args.matrices} * args.rows, part, parts);
  switch (args.codec) {
    case CAIRN_KERNELS_INT8_COLUMN: Columns<T>(args, ShareOf(args.matrices, part, parts)); break;
    case CAIRN_KERNELS_FP8_KV: Rows<Fp8Code, T>(args, rows); break;
    case CAIRN_KERNELS_INT8_KV: Rows<Int8Code, T>(args, rows); break;
    default: {
      const std::int32_t kept = KeptRows(args);
      if (kept < 0) {
        return CAIRN_KERNELS_DAMAGED;
      }
      args.codec == CAIRN_KERNELS_KIVI2 ? Kivi<T, 2>(args, kept).Run(part, parts)
                                        : Kivi<T, 4>(args, kept).Run(part, parts);
    }
  }
  return CAIRN_KERNELS_OK;
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_quantise_cpu(const cairn_kernels_quantise* args,
                                                           int32_t part, int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckQuantise(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  switch (args->dtype) {
    case CAIRN_KERNELS_F32: return Run<float>(*args, part, parts);
    case CAIRN_KERNELS_BF16: return Run<Bf16>(*args, part, parts);
    default: return Run<F16>(*args, part, parts);
  }
}

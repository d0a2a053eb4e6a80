#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels_codec.h"

// Where the parts of a payload are; docs/formats/codecs.md.
namespace cairn::kernels {

constexpr int kRowGroup = 128;  ///< Columns of a row under one scale, for fp8_kv and int8_kv.
constexpr int kKiviGroup = 32;

CAIRN_BOTH std::int64_t PaddedTo4(std::int64_t bytes) { return (bytes + 3) / 4 * 4; }
CAIRN_BOTH int ElementBytes(std::int32_t dtype) { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }

/// int8_column, fp8_kv, int8_kv: scales, then codes.
CAIRN_BOTH std::int64_t ScaleCount(const cairn_kernels_quantise& args) {
  return args.codec == CAIRN_KERNELS_INT8_COLUMN ? std::int64_t{args.matrices} * args.columns
                                                 : std::int64_t{args.matrices} * args.rows *
                                                       ((args.columns + kRowGroup - 1) / kRowGroup);
}

/// kivi2, kivi4: a word each for the group's size and the rows kept, then these.
struct KiviLayout {
  CAIRN_BOTH_MEMBER KiviLayout(const cairn_kernels_quantise& args, std::int32_t kept_rows)
      : bands((args.rows - kept_rows) / kKiviGroup),
        value_groups((args.columns + kKiviGroup - 1) / kKiviGroup),
        key_matrix(bands * args.columns),
        value_matrix(bands * kKiviGroup * value_groups),
        groups((std::int64_t{args.matrices} + 1) / 2 * key_matrix +
               std::int64_t{args.matrices} / 2 * value_matrix) {
    const int bits = args.codec == CAIRN_KERNELS_KIVI2 ? 2 : 4;
    scales = lows + PaddedTo4(groups * ElementBytes(args.dtype));
    codes = scales + PaddedTo4(groups * 2);
    kept = codes + groups * (kKiviGroup * bits / 8);
    end = kept + std::int64_t{args.matrices} * kept_rows * args.columns * ElementBytes(args.dtype);
  }
  std::int64_t bands;         ///< Of 32 rows, in each matrix.
  std::int64_t value_groups;  ///< In a row of values.
  std::int64_t key_matrix;    ///< Groups in a matrix of keys, one per column and band,
  std::int64_t value_matrix;  ///< and in one of values.
  std::int64_t groups;
  std::int64_t lows = 8;  ///< Offsets, in bytes.
  std::int64_t scales = 0;
  std::int64_t codes = 0;
  std::int64_t kept = 0;
  std::int64_t end = 0;
};

/// The elements of a group of KIVI.
struct KiviGroup {
  std::int64_t first;  ///< Of the values.
  std::int64_t apart;
  int count;
};
CAIRN_BOTH KiviGroup KiviGroupAt(const cairn_kernels_quantise& args, const KiviLayout& layout,
                                 std::int64_t index) {
  const std::int64_t pair = layout.key_matrix + layout.value_matrix;
  const std::int64_t matrix = index / pair * 2;
  const std::int64_t in_pair = index % pair;
  const std::int64_t columns = args.columns;
  if (in_pair < layout.key_matrix) {
    const std::int64_t row = matrix * args.rows + in_pair / columns * kKiviGroup;
    return {row * columns + in_pair % columns, columns, kKiviGroup};
  }
  const std::int64_t in_values = in_pair - layout.key_matrix;
  const std::int64_t row = (matrix + 1) * args.rows + in_values / layout.value_groups;
  const std::int64_t channel = in_values % layout.value_groups * kKiviGroup;
  const std::int64_t left = columns - channel;
  return {row * columns + channel, 1, static_cast<int>(left < kKiviGroup ? left : kKiviGroup)};
}

/// Of the values. Sizes within it cannot overflow.
constexpr std::int64_t kMostQuantisedBytes = std::int64_t{1} << 40;

/// How many rows of each matrix a payload of KIVI keeps as they are; -1 if it is damaged.
CAIRN_BOTH std::int32_t KeptRows(const cairn_kernels_quantise& args) {
  if (args.decode == 0) {
    return args.rows % kKiviGroup;
  }
  if (args.payload_bytes < 8) {
    return -1;
  }
  const auto* head = static_cast<const std::uint32_t*>(args.payload);
  const std::uint32_t kept = head[1];
  if (head[0] != kKiviGroup || kept > static_cast<std::uint32_t>(args.rows) ||
      (static_cast<std::uint32_t>(args.rows) - kept) % kKiviGroup != 0) {
    return -1;
  }
  const auto rows = static_cast<std::int32_t>(kept);
  return KiviLayout(args, rows).end == args.payload_bytes ? rows : -1;
}

}  // namespace cairn::kernels

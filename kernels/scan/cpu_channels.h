#pragma once

#include <array>
#include <cstddef>

#include "kernels/arith/elements.h"
#include "kernels/scan/workspace.h"

// prepare_channels.h as plain loops: the same blocks and the same roundings to bf16.
namespace cairn::kernels {

using KeyRow = std::array<float, kScanKey>;
using KeyRows = std::array<KeyRow, kChunk>;
using Square = std::array<std::array<float, kChunk>, kChunk>;

inline float Round(float x) { return ToFloat(Bf16{Bf16Bits(x)}); }
inline float Dot(const KeyRow& a, const KeyRow& b) {
  float sum = 0.0F;
  for (std::size_t k = 0; k < kScanKey; ++k) {
    sum += a[k] * b[k];
  }
  return sum;
}

/// The decays of a chunk's rows, by channel; 1 past its end.
struct ChunkDecays {
  KeyRows of;

  /// `to`: the rows from `begin` on as they are after row `end` - 1, rounded. Returns the decay
  /// over all of them.
  KeyRow Until(const KeyRows& from, std::size_t begin, std::size_t end, KeyRows& to) const {
    KeyRow decay;
    decay.fill(1.0F);
    for (std::size_t i = end; i-- > begin;) {
      for (std::size_t k = 0; k < kScanKey; ++k) {
        to[i][k] = Round(from[i][k] * decay[k]);
        decay[k] *= of[i][k];
      }
    }
    return decay;
  }
  /// `to`: the rows decayed from row `begin` on, that one's decay included, rounded.
  void Since(const KeyRows& from, std::size_t begin, std::size_t end, KeyRows& to) const {
    KeyRow decay;
    decay.fill(1.0F);
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t k = 0; k < kScanKey; ++k) {
        decay[k] *= of[i][k];
        to[i][k] = Round(from[i][k] * decay[k]);
      }
    }
  }
  /// to[i][j], j <= i: row i of `left` by row j of `right`, decayed from j to i. The rest stays.
  void Relate(const KeyRows& left, const KeyRows& right, Square& to) const {
    KeyRows later;
    KeyRows earlier;
    for (const std::size_t size : {32U, 16U, 8U}) {
      for (std::size_t begin = 0; begin < kChunk; begin += 2 * size) {
        const std::size_t middle = begin + size;
        Until(right, begin, middle, earlier);
        Since(left, middle, middle + size, later);
        for (std::size_t i = middle; i < middle + size; ++i) {
          for (std::size_t j = begin; j < middle; ++j) {
            to[i][j] = Dot(later[i], earlier[j]);
          }
        }
      }
    }
    for (std::size_t j = 0; j < kChunk; ++j) {
      KeyRow row = right[j];
      to[j][j] = Dot(left[j], row);
      for (std::size_t i = j + 1; i % 8 != 0; ++i) {
        for (std::size_t k = 0; k < kScanKey; ++k) {
          row[k] *= of[i][k];
        }
        to[i][j] = Dot(left[i], row);
      }
    }
  }
};

}  // namespace cairn::kernels

#pragma once

// The bounds that the headers of the lossy codecs state, worked out for given values in double.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "libcache/codec/codec.h"
#include "libcache/codec/values.h"

namespace cairn::testing {

inline std::vector<float> Floats(Element element, std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / ElementBytes(element));
  internal::LoadValues(element, bytes.data(), values);
  return values;
}

/// Rounded to elements; what is too large becomes an infinity.
inline std::vector<std::byte> Elements(Element element, std::span<const float> values) {
  std::vector<std::byte> bytes(values.size() * ElementBytes(element));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half =
        element == Element::kF16 ? kernels::F16Bits(values[i]) : kernels::Bf16Bits(values[i]);
    if (element == Element::kF32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    } else {
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

/// What an element may be off by: NaN where it must come back as NaN.
class Bounds {
 public:
  Bounds(CodecId id, const CodecShape& shape, std::vector<float> in, std::vector<float> out)
      : shape_(shape), in_(std::move(in)), out_(std::move(out)), bounds_(in_.size(), 0.0) {
    unit_ = shape.element == Element::kF32   ? 0.0
            : shape.element == Element::kF16 ? std::ldexp(1.0, -11)
                                             : std::ldexp(1.0, -8);
    // Below the normal numbers of the element what rounding may do is a step of these.
    floor_ = shape.element == Element::kF16 ? std::ldexp(1.0, -25) : std::ldexp(1.0, -117);
    const std::size_t each = std::size_t{shape.rows} * shape.columns;
    for (std::size_t m = 0; m < shape.matrices; ++m) {
      switch (id) {
        case CodecId::kExponentSplit: break;
        case CodecId::kInt8Column:
          for (std::size_t c = 0; c < shape.columns; ++c) {
            Scaled(m * each + c, shape.columns, shape.rows, false);
          }
          break;
        case CodecId::kInt8Kv:
        case CodecId::kFp8Kv:
          for (std::size_t r = 0; r < shape.rows; ++r) {
            for (std::size_t c = 0; c < shape.columns; c += 128) {
              Scaled(m * each + r * shape.columns + c, 1,
                     std::min<std::size_t>(128, shape.columns - c), id == CodecId::kFp8Kv);
            }
          }
          break;
        case CodecId::kKivi2:
        case CodecId::kKivi4: Kivi(m, id == CodecId::kKivi2 ? 3 : 15); break;
        case CodecId::kCacheGen: CacheGen(m); break;
        case CodecId::kBf16Round: Rounded(m * each, each); break;
      }
    }
  }

  /// First element that is out of bounds; in_.size() if there is none.
  [[nodiscard]] std::size_t FirstBroken() const {
    for (std::size_t i = 0; i < in_.size(); ++i) {
      const bool lost = std::isnan(bounds_[i]);
      const bool fine =
          lost ? std::isnan(out_[i]) : std::fabs(double{in_[i]} - double{out_[i]}) <= bounds_[i];
      if (!fine) {
        return i;
      }
    }
    return in_.size();
  }
  [[nodiscard]] double bound(std::size_t i) const { return bounds_[i]; }

 private:
  static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

  double Most(std::size_t first, std::size_t apart, std::size_t count) const {
    double most = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double x = in_[first + i * apart];
      most = std::isfinite(x) ? std::max(most, std::fabs(x)) : most;
    }
    return most;
  }

  void Scaled(std::size_t first, std::size_t apart, std::size_t count, bool fp8) {
    const double a = Most(first, apart, count);
    for (std::size_t i = 0; i < count; ++i) {
      const double x = std::fabs(double{in_[first + i * apart]});
      double bound = a / 127 * (0.5 + std::ldexp(1.0, -15));
      if (fp8) {
        bound = std::max(x * (std::ldexp(1.0, -4) + std::ldexp(1.0, -20)),
                         a / 448 * (std::ldexp(1.0, -10) + std::ldexp(1.0, -15)));
      }
      bounds_[first + i * apart] = std::isfinite(x) ? bound + unit_ * a + floor_ : kNan;
    }
  }

  void Rounded(std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      const double x = std::fabs(double{in_[i]});
      bounds_[i] = std::isnan(x) ? kNan : std::max(std::ldexp(x, -8), std::ldexp(1.0, -134));
      if (std::isinf(x) && out_[i] == in_[i]) {
        in_[i] = out_[i] = 0;  // Stays, which a difference cannot say.
      }
    }
  }

  void Kivi(std::size_t matrix, int steps) {
    const std::size_t columns = shape_.columns;
    const std::size_t coded = shape_.rows / 32 * 32;
    const std::size_t base = matrix * shape_.rows * columns;
    for (std::size_t r = coded; r < shape_.rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        const std::size_t at = base + r * columns + c;
        bounds_[at] = std::isnan(in_[at]) ? kNan : 0;
        if (std::isinf(in_[at]) && out_[at] == in_[at]) {
          in_[at] = out_[at] = 0;  // Kept as it is, which a difference cannot say.
        }
      }
    }
    if (matrix % 2 == 0) {
      for (std::size_t r = 0; r < coded; r += 32) {
        for (std::size_t c = 0; c < columns; ++c) {
          KiviGroup(base + r * columns + c, columns, 32, steps);
        }
      }
      return;
    }
    for (std::size_t r = 0; r < coded; ++r) {
      for (std::size_t c = 0; c < columns; c += 32) {
        KiviGroup(base + r * columns + c, 1, std::min<std::size_t>(32, columns - c), steps);
      }
    }
  }

  void KiviGroup(std::size_t first, std::size_t apart, std::size_t count, int steps) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    bool finite = true;
    for (std::size_t i = 0; i < count; ++i) {
      const double x = in_[first + i * apart];
      finite = finite && std::isfinite(x);
      low = std::min(low, x);
      high = std::max(high, x);
    }
    finite = finite && static_cast<float>(high) - static_cast<float>(low) <= 0x1p126F;
    const double s = (high - low) / steps * (1 + std::ldexp(1.0, -7));
    const double bound = s * (0.5 + std::ldexp(1.0, -10)) +
                         (std::ldexp(1.0, -22) + unit_) * std::max(std::fabs(low), std::fabs(high));
    for (std::size_t i = 0; i < count; ++i) {
      bounds_[first + i * apart] = finite ? bound + floor_ : kNan;
    }
  }

  void CacheGen(std::size_t matrix) {
    const std::size_t columns = shape_.columns;
    const std::size_t layers =
        (shape_.matrices_before + shape_.matrices + shape_.matrices_behind + std::size_t{1}) / 2;
    const std::size_t layer = (shape_.matrices_before + matrix) / 2;
    const double levels = layer < (layers + 2) / 3 ? 15 : 7;
    const double up = 1 + std::ldexp(1.0, -7);
    for (std::size_t r = 0; r < shape_.rows; ++r) {
      const std::size_t row = (matrix * shape_.rows + r) * columns;
      const std::size_t anchor = row - r % 10 * columns;
      for (std::size_t c = 0; c < columns; c += 128) {
        const std::size_t count = std::min<std::size_t>(128, columns - c);
        if (r % 10 == 0) {
          const double a = Most(row + c, 1, count);
          for (std::size_t i = 0; i < count; ++i) {
            bounds_[row + c + i] =
                std::isfinite(in_[row + c + i])
                    ? a / 127 * up * (0.5 + std::ldexp(1.0, -7)) + unit_ * a + floor_
                    : kNan;
          }
          continue;
        }
        Differences(row + c, anchor + c, count, levels);
      }
    }
  }

  void Differences(std::size_t row, std::size_t anchor, std::size_t count, double levels) {
    double d = 0;
    for (std::size_t i = 0; i < count; ++i) {
      // The anchor is seen rounded to its type, so it may have been off by a rounding.
      const double a = std::isnan(out_[anchor + i]) ? 0 : double{out_[anchor + i]};
      const double x = in_[row + i];
      if (std::isfinite(x)) {
        d = std::max(d, std::fabs(x - a) + 2 * unit_ * std::fabs(a));
      }
    }
    const double s = d / levels * (1 + std::ldexp(1.0, -7));
    for (std::size_t i = 0; i < count; ++i) {
      const double a = std::isnan(out_[anchor + i]) ? 0 : double{out_[anchor + i]};
      const double x = in_[row + i];
      const bool far = std::fabs(x - a) > 0.98 * std::ldexp(1.0, 126);
      const double bound = s * (0.5 + std::ldexp(1.0, -7)) +
                           (std::ldexp(1.0, -22) + unit_) * (std::fabs(x) + std::fabs(a)) * 1.01;
      bounds_[row + i] =
          !std::isfinite(x) || (far && std::isnan(out_[row + i])) ? kNan : bound + floor_;
    }
  }

  CodecShape shape_;
  std::vector<float> in_;
  std::vector<float> out_;
  std::vector<double> bounds_;
  double unit_ = 0;
  double floor_ = 0;
};

}  // namespace cairn::testing

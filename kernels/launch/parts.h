#pragma once

#include <cstdint>

namespace cairn::kernels {

/// Whether a CPU call's part of the work is one.
inline bool IsPart(std::int32_t part, std::int32_t parts) {
  return parts > 0 && part >= 0 && part < parts;
}

struct Share {
  std::int64_t first;
  std::int64_t last;  ///< Past it.
};
/// What of `all` things is done by part `part` of `parts`: nearly equal shares, and no product here
/// passes 64 bits however many things there are.
inline Share ShareOf(std::int64_t all, std::int32_t part, std::int32_t parts) {
  const auto begin = [&](std::int64_t p) { return all / parts * p + all % parts * p / parts; };
  return {.first = begin(part), .last = begin(std::int64_t{part} + 1)};
}

}  // namespace cairn::kernels

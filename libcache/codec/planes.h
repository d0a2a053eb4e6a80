#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::internal {

/// How the bytes of a chunk are told apart before they are coded. Values travel in the format.
enum class PlaneKind : std::uint8_t {
  kBytes = 0,    ///< One plane: the bytes as they are.
  kFloat32 = 1,  ///< Words rotated left by one, so that the exponent is one byte; high byte first.
  kBFloat16 = 2,
  kHalf16 = 3,  ///< Half words as they are: sign, exponent and two bits of the mantissa; the rest.
};
inline constexpr std::size_t kPlaneKinds = 4;
inline constexpr std::size_t kMaxPlanes = 4;

/// Planes of a kind, which is also the bytes of an element.
constexpr std::size_t PlanesOf(PlaneKind kind) {
  return kind == PlaneKind::kFloat32 ? 4 : kind == PlaneKind::kBytes ? 1 : 2;
}

/// Moving between elements and planes of `count` bytes each, one after the other at `stride`.
struct PlaneKernels {
  void (*split)(PlaneKind kind, const std::byte* elements, std::size_t count, std::uint8_t* planes,
                std::size_t stride);
  void (*merge)(PlaneKind kind, const std::uint8_t* const* planes, std::size_t count,
                std::byte* elements);
};

/// For AVX2 where the processor has it. All variants give the same bytes.
const PlaneKernels& BestPlaneKernels();
const PlaneKernels& PlainPlaneKernels();
/// Null where the compiler or the processor has no AVX2.
const PlaneKernels* Avx2PlaneKernels();

}  // namespace cairn::internal

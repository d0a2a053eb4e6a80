#pragma once

// Included by exactly two files, planes.cc and planes_avx2.cc, which compile the same loops for two
// instruction sets. Everything here has internal linkage so that the linker cannot merge them.

#include <bit>
#include <cstring>

#include "libcache/codec/planes.h"

namespace cairn::internal {
namespace {

template <class Word>
Word LoadElement(const std::byte* elements, std::size_t i) {
  Word word;
  std::memcpy(&word, elements + i * sizeof(Word), sizeof(Word));
  return word;
}

template <int Rotate>
void Split16(const std::byte* elements, std::size_t count, std::uint8_t* __restrict high,
             std::uint8_t* __restrict low) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = std::rotl(LoadElement<std::uint16_t>(elements, i), Rotate);
    high[i] = static_cast<std::uint8_t>(word >> 8U);
    low[i] = static_cast<std::uint8_t>(word);
  }
}

template <int Rotate>
void Merge16(const std::uint8_t* __restrict high, const std::uint8_t* __restrict low,
             std::size_t count, std::byte* __restrict elements) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = static_cast<std::uint16_t>(high[i] << 8U | low[i]);
    const auto element = std::rotr(word, Rotate);
    std::memcpy(elements + i * 2, &element, 2);
  }
}

void Split32(const std::byte* elements, std::size_t count, std::uint8_t* __restrict planes,
             std::size_t stride) {
  std::uint8_t* __restrict const first = planes;
  std::uint8_t* __restrict const second = planes + stride;
  std::uint8_t* __restrict const third = planes + 2 * stride;
  std::uint8_t* __restrict const fourth = planes + 3 * stride;
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = std::rotl(LoadElement<std::uint32_t>(elements, i), 1);
    first[i] = static_cast<std::uint8_t>(word >> 24U);
    second[i] = static_cast<std::uint8_t>(word >> 16U);
    third[i] = static_cast<std::uint8_t>(word >> 8U);
    fourth[i] = static_cast<std::uint8_t>(word);
  }
}

void Merge32(const std::uint8_t* const* planes, std::size_t count, std::byte* __restrict elements) {
  const std::uint8_t* __restrict const first = planes[0];
  const std::uint8_t* __restrict const second = planes[1];
  const std::uint8_t* __restrict const third = planes[2];
  const std::uint8_t* __restrict const fourth = planes[3];
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t word = std::uint32_t{first[i]} << 24U | std::uint32_t{second[i]} << 16U |
                               std::uint32_t{third[i]} << 8U | fourth[i];
    const std::uint32_t element = std::rotr(word, 1);
    std::memcpy(elements + i * 4, &element, 4);
  }
}

void Split(PlaneKind kind, const std::byte* elements, std::size_t count, std::uint8_t* planes,
           std::size_t stride) {
  switch (kind) {
    case PlaneKind::kBytes: std::memcpy(planes, elements, count); break;
    case PlaneKind::kFloat32: Split32(elements, count, planes, stride); break;
    case PlaneKind::kBFloat16: Split16<1>(elements, count, planes, planes + stride); break;
    case PlaneKind::kHalf16: Split16<0>(elements, count, planes, planes + stride); break;
  }
}

void Merge(PlaneKind kind, const std::uint8_t* const* planes, std::size_t count,
           std::byte* elements) {
  switch (kind) {
    case PlaneKind::kBytes: std::memcpy(elements, planes[0], count); break;
    case PlaneKind::kFloat32: Merge32(planes, count, elements); break;
    case PlaneKind::kBFloat16: Merge16<1>(planes[0], planes[1], count, elements); break;
    case PlaneKind::kHalf16: Merge16<0>(planes[0], planes[1], count, elements); break;
  }
}

constexpr PlaneKernels kKernels = {.split = Split, .merge = Merge};

}  // namespace
}  // namespace cairn::internal

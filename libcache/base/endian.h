#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "libcache/base/check.h"

namespace cairn {

static_assert(std::endian::native == std::endian::little,
              "formats are little-endian and read by plain loads; a big-endian port adds swaps");

/// Reads an integer of a format at `offset`. The caller has checked the length.
template <class T>
requires std::is_integral_v<T> T LoadLe(std::span<const std::byte> bytes, std::size_t offset) {
  CAIRN_CHECK(offset + sizeof(T) <= bytes.size());
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <class T>
requires std::is_integral_v<T>
void StoreLe(std::span<std::byte> bytes, std::size_t offset, T value) {
  CAIRN_CHECK(offset + sizeof(T) <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

}  // namespace cairn

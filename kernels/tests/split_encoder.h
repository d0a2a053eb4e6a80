#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::kernels::test {

/// How one chunk is to be written.
struct SplitChoice {
  int kind = 0;               ///< 0: bytes, 1: fp32, 2: bf16, 3: fp16.
  std::uint8_t mode[4] = {};  ///< Of each plane: 0 raw, 1 constant (its bytes must be), 2 rANS.
};

/// A payload of exponent_split by the letter of docs/formats/codecs.md, one symbol after the other:
/// what decoders are held against. `choice(chunk)` is asked for each chunk.
template <class Choice>
std::vector<std::byte> EncodeSplit(const std::vector<std::byte>& object, const Choice& choice);

std::vector<std::byte> EncodeSplitChunk(const std::byte* object, std::size_t bytes,
                                        const SplitChoice& choice);

template <class Choice>
std::vector<std::byte> EncodeSplit(const std::vector<std::byte>& object, const Choice& choice) {
  constexpr std::size_t kChunk = 128 * 1024;
  const std::size_t chunks = (object.size() + kChunk - 1) / kChunk;
  std::vector<std::byte> payload;
  const auto put = [&](std::uint32_t word) {
    for (int i = 0; i < 4; ++i) {
      payload.push_back(static_cast<std::byte>(word >> (8 * i)));
    }
  };
  put(kChunk);
  put(static_cast<std::uint32_t>(chunks));
  std::vector<std::byte> all;
  for (std::size_t i = 0; i < chunks; ++i) {
    const std::size_t left = object.size() - i * kChunk;
    const auto chunk =
        EncodeSplitChunk(object.data() + i * kChunk, left < kChunk ? left : kChunk, choice(i));
    put(static_cast<std::uint32_t>(chunk.size()));
    all.insert(all.end(), chunk.begin(), chunk.end());
  }
  payload.insert(payload.end(), all.begin(), all.end());
  return payload;
}

}  // namespace cairn::kernels::test

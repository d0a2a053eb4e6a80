#include "kernels/tests/split_encoder.h"

#include <algorithm>
#include <array>

namespace cairn::kernels::test {
namespace {

using Bytes = std::vector<std::byte>;

void Put(Bytes& to, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    to.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}
void Pad(Bytes& to) { to.resize((to.size() + 3) / 4 * 4); }

/// Any frequencies do that add up to 4096 and give each symbol that occurs at least one.
std::array<std::uint32_t, 256> Model(const std::vector<std::uint8_t>& plane) {
  std::array<std::uint32_t, 256> frequency{};
  for (const std::uint8_t s : plane) {
    ++frequency[s];
  }
  const auto total = static_cast<double>(plane.size());
  std::uint32_t sum = 0;
  for (auto& f : frequency) {
    if (f > 0) {
      f = std::max(1U, static_cast<std::uint32_t>(3000.0 * f / total));
      sum += f;
    }
  }
  frequency[7] += 1;  // So that there are two, whatever the plane is; 7 is there in the tests.
  frequency[8] += 4096 - sum - 1;
  return frequency;
}

void PutRans(const std::vector<std::uint8_t>& plane, Bytes& to) {
  const auto frequency = Model(plane);
  std::array<std::uint32_t, 256> start{};
  for (std::size_t s = 1; s < 256; ++s) {
    start[s] = start[s - 1] + frequency[s - 1];
  }
  std::array<std::uint32_t, 32> states;
  states.fill(1U << 15U);
  std::vector<std::uint32_t> words;  // From the last to the first.
  for (std::size_t i = plane.size(); i-- > 0;) {
    std::uint32_t& x = states[i % 32];
    const std::uint32_t f = frequency[plane[i]];
    if (x >= f << 19U) {
      words.push_back(x & 0xFFFFU);
      x >>= 16U;
    }
    x = x / f * 4096 + x % f + start[plane[i]];
  }
  Put(to, static_cast<std::uint32_t>(128 + 2 * words.size()), 4);
  std::array<std::uint8_t, 32> bitmap{};
  for (std::size_t s = 0; s < 256; ++s) {
    if (frequency[s] > 0) {
      bitmap[s / 8] = static_cast<std::uint8_t>(bitmap[s / 8] | 1U << s % 8);
    }
  }
  for (const std::uint8_t byte : bitmap) {
    Put(to, byte, 1);
  }
  for (const std::uint32_t f : frequency) {
    if (f > 0) {
      Put(to, f, 2);
    }
  }
  Pad(to);
  for (const std::uint32_t state : states) {
    Put(to, state, 4);
  }
  for (std::size_t i = words.size(); i-- > 0;) {
    Put(to, words[i], 2);
  }
  Pad(to);
}

}  // namespace

Bytes EncodeSplitChunk(const std::byte* object, std::size_t bytes, const SplitChoice& choice) {
  const std::size_t planes = choice.kind == 1 ? 4 : choice.kind == 0 ? 1 : 2;
  Bytes to;
  Put(to, static_cast<std::uint32_t>(choice.kind), 1);
  for (std::size_t p = 0; p < 4; ++p) {
    Put(to, p < planes ? choice.mode[p] : 0U, 1);
  }
  Put(to, 0, 3);
  const std::size_t elements = bytes / planes;
  std::vector<std::vector<std::uint8_t>> plane(planes, std::vector<std::uint8_t>(elements));
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint64_t word = 0;
    for (std::size_t b = 0; b < planes; ++b) {
      word |= std::to_integer<std::uint64_t>(object[i * planes + b]) << (8 * b);
    }
    if (choice.kind == 1 || choice.kind == 2) {
      word = word << 1U | word >> (8 * planes - 1);
    }
    for (std::size_t p = 0; p < planes; ++p) {
      plane[p][i] = static_cast<std::uint8_t>(word >> (8 * (planes - 1 - p)));
    }
  }
  for (std::size_t p = 0; p < planes; ++p) {
    switch (choice.mode[p]) {
      case 0:
        for (const std::uint8_t byte : plane[p]) {
          Put(to, byte, 1);
        }
        Pad(to);
        break;
      case 1:
        Put(to, plane[p].empty() ? 0U : plane[p][0], 1);
        Pad(to);
        break;
      default: PutRans(plane[p], to);
    }
  }
  to.insert(to.end(), object + elements * planes, object + bytes);
  Pad(to);
  return to;
}

}  // namespace cairn::kernels::test

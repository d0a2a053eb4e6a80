#pragma once

// States and KV to try codecs on, made up: what a layer of a gated delta network holds after some
// hundred tokens, and keys and values with channels of their own. Seeded; for measuring, not
// golden, since libm has a part in it.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace cairn::testing {

inline std::uint16_t ToBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

template <class T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

inline std::vector<std::byte> AsBf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> half;
  half.reserve(values.size());
  for (const float value : values) {
    half.push_back(ToBf16(value));
  }
  return BytesOf(half);
}

/// S <- alpha S + k (beta (v - alpha S^T k))^T per head, as in flash-linear-attention's recurrent
/// rule: keys are silu of normals, normalised; decay per head between slow and fast. Fp32, [V][K].
inline std::vector<float> GdnStates(std::uint32_t heads, std::uint32_t tokens, std::uint64_t seed,
                                    std::uint32_t dim = 128) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> states(std::size_t{heads} * dim * dim, 0.0F);
  std::vector<float> key(dim);
  std::vector<float> value(dim);
  for (std::uint32_t head = 0; head < heads; ++head) {
    float* const state = states.data() + std::size_t{head} * dim * dim;
    const float rate = std::exp(normal(random) * 1.5F - 2.0F);
    for (std::uint32_t token = 0; token < tokens; ++token) {
      float norm = 1e-6F;
      for (std::uint32_t i = 0; i < dim; ++i) {
        const float x = normal(random);
        key[i] = x / (1.0F + std::exp(-x));
        norm += key[i] * key[i];
        const float y = normal(random);
        value[i] = y / (1.0F + std::exp(-y));
      }
      norm = 1.0F / std::sqrt(norm);
      const float alpha = std::exp(-rate * std::log1p(std::exp(normal(random) - 4.6F)));
      const float beta = 1.0F / (1.0F + std::exp(-normal(random)));
      for (std::uint32_t row = 0; row < dim; ++row) {
        float* const s = state + std::size_t{row} * dim;
        float predicted = 0.0F;
        for (std::uint32_t i = 0; i < dim; ++i) {
          s[i] *= alpha;
          predicted += s[i] * key[i] * norm;
        }
        const float update = beta * (value[row] - predicted);
        for (std::uint32_t i = 0; i < dim; ++i) {
          s[i] += key[i] * norm * update;
        }
      }
    }
  }
  return states;
}

/// [matrices][tokens][channels]: even matrices are keys, whose channels differ in size and mean,
/// odd ones values. Neighbouring tokens are alike, as CacheGen found (SIGCOMM 2024, section 5.1).
inline std::vector<float> KvValues(std::uint32_t matrices, std::uint32_t tokens,
                                   std::uint32_t channels, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values;
  values.reserve(std::size_t{matrices} * tokens * channels);
  for (std::uint32_t matrix = 0; matrix < matrices; ++matrix) {
    std::vector<float> mean(channels, 0.0F);
    std::vector<float> spread(channels, 1.0F);
    std::vector<float> drift(channels, 0.0F);
    for (std::uint32_t c = 0; c < channels && matrix % 2 == 0; ++c) {
      mean[c] = 2.0F * normal(random);
      spread[c] = std::exp(0.8F * normal(random));
    }
    for (std::uint32_t token = 0; token < tokens; ++token) {
      for (std::uint32_t c = 0; c < channels; ++c) {
        drift[c] = 0.8F * drift[c] + 0.6F * normal(random);
        values.push_back(mean[c] + spread[c] * drift[c]);
      }
    }
  }
  return values;
}

}  // namespace cairn::testing

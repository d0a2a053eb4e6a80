#include "libcache/codec/rans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/codec/rans_kernels.h"

namespace cairn {
namespace {

/// `kinds` symbols, the first ones more frequent.
std::vector<std::uint8_t> Symbols(std::size_t count, std::uint32_t kinds, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> symbols(count);
  for (auto& symbol : symbols) {
    symbol = static_cast<std::uint8_t>(random() % (1 + random() % kinds));
  }
  return symbols;
}

std::vector<std::byte> Encoded(const RansModel& model, std::span<const std::uint8_t> symbols) {
  std::vector<std::byte> stream(RansMaxBytes(symbols.size()));
  stream.resize(RansEncoder(model).Encode(symbols, stream));
  return stream;
}

TEST(RansTest, GivesBackEveryLengthAndAlphabet) {
  for (const std::uint32_t kinds : {1U, 2U, 3U, 30U, 256U}) {
    for (const std::size_t count : {0U, 1U, 31U, 32U, 33U, 63U, 64U, 1000U, 65536U, 70001U}) {
      const auto symbols = Symbols(count, kinds, count + kinds);
      const RansModel model = RansModel::Of(CountBytes(symbols));
      const auto stream = Encoded(model, symbols);
      std::vector<std::uint8_t> back(count);
      ASSERT_TRUE(RansDecoder(model).Decode(stream, back)) << kinds << " kinds, " << count;
      EXPECT_EQ(back, symbols);
    }
  }
}

TEST(RansTest, TakesWhatTheEntropySays) {
  std::vector<std::uint8_t> symbols(1 << 16);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i] = static_cast<std::uint8_t>(std::min<int>(std::countr_zero(i | 1U << 15U), 15));
  }
  const auto stream = Encoded(RansModel::Of(CountBytes(symbols)), symbols);
  // Halves, quarters, ...: two bits a symbol, and 128 bytes of states.
  EXPECT_NEAR(static_cast<double>(stream.size()), 128 + 65536 * 2 / 8, 170);
}

TEST(RansTest, BothPathsWriteAndReadTheSameBytes) {
  const internal::RansKernels* const avx2 = internal::Avx2RansKernels();
  if (avx2 == nullptr) {
    GTEST_SKIP() << "this processor has no AVX2";
  }
  for (const std::uint32_t kinds : {2U, 17U, 256U}) {
    for (const std::size_t count : {32U, 100U, 4096U, 65537U}) {
      const auto symbols = Symbols(count, kinds, kinds);
      const RansModel model = RansModel::Of(CountBytes(symbols));
      // Tables as the classes make them: the same values through the public way.
      RansEncoder::Table table{};
      std::uint32_t start = 0;
      for (std::size_t s = 0; s < 256; ++s) {
        const std::uint32_t f = model.frequency[s];
        if (f != 0) {
          const auto shift = static_cast<std::uint32_t>(std::bit_width(f - 1));
          table[s] = {static_cast<std::uint32_t>(((1ULL << (shift + 31)) + f - 1) / f),
                      f | start << 12U | shift << 24U};
          start += f;
        }
      }
      RansDecoder::Table slots{};
      std::uint32_t slot = 0;
      for (std::uint32_t s = 0; s < 256; ++s) {
        for (std::uint32_t i = 0; i < model.frequency[s]; ++i) {
          slots[slot++] = s | std::uint32_t{model.frequency[s]} << 8U | i << 20U;
        }
      }
      const auto encode = [&](const internal::RansKernels& kernels) {
        std::vector<std::byte> out(RansMaxBytes(count));
        out.resize(internal::RansEncodeWith(kernels, table, symbols.data(), count, out.data()));
        return out;
      };
      const auto stream = encode(internal::PlainRansKernels());
      EXPECT_EQ(encode(*avx2), stream);
      EXPECT_EQ(Encoded(model, symbols), stream);
      for (const auto* kernels : {&internal::PlainRansKernels(), avx2}) {
        std::vector<std::uint8_t> back(count);
        EXPECT_TRUE(internal::RansDecodeWith(*kernels, slots, stream.data(), stream.size(),
                                             back.data(), count));
        EXPECT_EQ(back, symbols);
      }
    }
  }
}

TEST(RansTest, EveryDivisionIsExact) {
  // States just below, at and above multiples of the frequency are where a reciprocal would slip.
  for (std::uint32_t f = 1; f < kRansTotal; ++f) {
    RansModel model;
    model.frequency[7] = static_cast<std::uint16_t>(f);
    model.frequency[9] = static_cast<std::uint16_t>(kRansTotal - f);
    const auto shift = static_cast<std::uint32_t>(std::bit_width(f - 1));
    const std::uint64_t reciprocal = ((1ULL << (shift + 31)) + f - 1) / f;
    ASSERT_LT(reciprocal, 1ULL << 32U);
    for (const std::uint64_t multiple : {1ULL, 3ULL, 8ULL, (1ULL << 19U) - 1, (1ULL << 19U)}) {
      for (const std::uint64_t x : {multiple * f - 1, multiple * f, multiple * f + 1}) {
        if (x < 1ULL << 31U) {
          ASSERT_EQ(x * reciprocal >> (31 + shift), x / f) << x << " / " << f;
        }
      }
    }
  }
}

TEST(RansTest, ModelsAddUpAndComeBack) {
  RansCounts lonely{};
  lonely[200] = 5;
  RansCounts crowd;
  crowd.fill(1);
  crowd[3] = 1'000'000'000;
  for (const RansCounts& counts : {RansCounts{}, lonely, crowd}) {
    const RansModel model = RansModel::Of(counts);
    EXPECT_EQ(std::accumulate(model.frequency.begin(), model.frequency.end(), 0U), kRansTotal);
    for (std::size_t s = 0; s < 256; ++s) {
      EXPECT_LT(model.frequency[s], kRansTotal);
      EXPECT_TRUE(counts[s] == 0 || model.frequency[s] != 0) << s;
    }
    std::vector<std::byte> stored(model.StoredBytes());
    model.Store(stored);
    const auto loaded = RansModel::Load(stored);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(*loaded, model);
    stored.pop_back();
    EXPECT_FALSE(RansModel::Load(stored));
  }
}

TEST(RansTest, DamagedModelsAreRefused) {
  RansCounts counts{};
  counts[1] = 3;
  counts[2] = 1;
  const RansModel model = RansModel::Of(counts);
  std::vector<std::byte> stored(model.StoredBytes());
  model.Store(stored);
  for (std::size_t bit = 0; bit < stored.size() * 8; ++bit) {
    auto damaged = stored;
    damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto loaded = RansModel::Load(damaged);
    // Moving a symbol keeps the sum only if another bit goes out: one flip never passes.
    EXPECT_FALSE(loaded) << bit;
  }
}

TEST(RansTest, DamagedStreamsAreRefusedOrDecodeWithinBounds) {
  const auto symbols = Symbols(3000, 20, 1);
  const RansModel model = RansModel::Of(CountBytes(symbols));
  const RansDecoder decoder(model);
  const auto stream = Encoded(model, symbols);
  std::vector<std::uint8_t> back(symbols.size());
  for (std::size_t size = 0; size < stream.size(); ++size) {
    EXPECT_FALSE(decoder.Decode(std::span(stream).first(size), back)) << size;
  }
  for (std::size_t at = 0; at < stream.size(); at += 7) {
    auto damaged = stream;
    damaged[at] ^= std::byte{0x10};
    const bool accepted = decoder.Decode(damaged, back).has_value();
    EXPECT_FALSE(accepted && back == symbols) << at;
  }
  std::vector<std::uint8_t> more(symbols.size() + 1);
  EXPECT_FALSE(decoder.Decode(stream, more));
  EXPECT_FALSE(decoder.Decode(stream, std::span(more).first(symbols.size() - 1)));
}

TEST(RansTest, TheFormatStays) {
  std::vector<std::uint8_t> symbols(10'000);
  std::uint32_t x = 1;
  for (auto& symbol : symbols) {
    x = x * 1664525 + 1013904223;
    symbol = static_cast<std::uint8_t>(static_cast<std::uint32_t>(std::countl_zero(x | 1U)) +
                                       (x >> 9U & 1U));
  }
  const RansModel model = RansModel::Of(CountBytes(symbols));
  std::vector<std::byte> bytes(model.StoredBytes());
  model.Store(bytes);
  const auto stream = Encoded(model, symbols);
  bytes.insert(bytes.end(), stream.begin(), stream.end());
  EXPECT_EQ(DigestOf(bytes).low, 0x3FE51A4D14B664E0U);
}

}  // namespace
}  // namespace cairn

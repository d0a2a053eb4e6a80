// Compiled with -mavx2 (libcache/codec/CMakeLists.txt); called only where the processor has it.
#include "libcache/codec/rans_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <array>
#include <bit>
#endif

namespace cairn::internal {

#if defined(__AVX2__)
namespace {

using Permutation = std::array<std::uint32_t, 8>;

/// By mask: brings the lanes of set bits to the high end, in order.
constexpr std::array<Permutation, 256> MakePacked() {
  std::array<Permutation, 256> all{};
  for (std::uint32_t mask = 0; mask < 256; ++mask) {
    std::uint32_t at = 8 - static_cast<std::uint32_t>(std::popcount(mask));
    for (std::uint32_t lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1U) != 0) {
        all[mask][at++] = lane;
      }
    }
  }
  return all;
}

/// By mask: the n-th lane of set bits gets word n.
constexpr std::array<Permutation, 256> MakeSpread() {
  std::array<Permutation, 256> all{};
  for (std::uint32_t mask = 0; mask < 256; ++mask) {
    std::uint32_t word = 0;
    for (std::uint32_t lane = 0; lane < 8; ++lane) {
      all[mask][lane] = (mask >> lane & 1U) != 0 ? word++ : 0;
    }
  }
  return all;
}

alignas(64) constexpr std::array<Permutation, 256> kPacked = MakePacked();
alignas(64) constexpr std::array<Permutation, 256> kSpread = MakeSpread();

__m256i LoadVector(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

std::uint32_t SignMask(__m256i vector) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(vector)));
}

/// Entries of eight symbols: reciprocals and packed parts. Plain loads beat two gathers.
struct Entries {
  __m256i reciprocal;
  __m256i packed;
};
[[gnu::always_inline]] inline Entries LoadEntries(const RansEncoder::Table& table,
                                                  const std::uint8_t* symbols) {
  const auto pair = [&](std::size_t low, std::size_t high) {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&table[symbols[low]]));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(first),
                                         reinterpret_cast<const __m64*>(&table[symbols[high]])));
  };
  // The shuffle below takes 0, 1 and 4, 5 from the first, 2, 3 and 6, 7 from the second.
  const __m256 first = _mm256_castsi256_ps(_mm256_set_m128i(pair(4, 5), pair(0, 1)));
  const __m256 second = _mm256_castsi256_ps(_mm256_set_m128i(pair(6, 7), pair(2, 3)));
  return {.reciprocal = _mm256_castps_si256(_mm256_shuffle_ps(first, second, 0x88)),
          .packed = _mm256_castps_si256(_mm256_shuffle_ps(first, second, 0xDD))};
}

/// Eight lanes of RansPut.
[[gnu::always_inline]] inline __m256i PutEight(const RansEncoder::Table& table,
                                               const std::uint8_t* symbols, __m256i state,
                                               std::byte** words) {
  const Entries entries = LoadEntries(table, symbols);
  const __m256i twelve = _mm256_set1_epi32(0xFFF);
  const __m256i frequency = _mm256_and_si256(entries.packed, twelve);
  const __m256i start = _mm256_and_si256(_mm256_srli_epi32(entries.packed, 12), twelve);
  // Both sides are below 2^31, so a signed comparison serves; not below: gives up a word.
  const __m256i keeps = _mm256_cmpgt_epi32(_mm256_slli_epi32(frequency, 19), state);
  const std::uint32_t gives = SignMask(keeps) ^ 0xFFU;
  const __m256i given = _mm256_permutevar8x32_epi32(
      _mm256_and_si256(state, _mm256_set1_epi32(0xFFFF)), LoadVector(kPacked[gives].data()));
  const __m128i packed_words =
      _mm_packus_epi32(_mm256_castsi256_si128(given), _mm256_extracti128_si256(given, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(*words - 16), packed_words);
  *words -= std::ptrdiff_t{2} * std::popcount(gives);
  state = _mm256_blendv_epi8(_mm256_srli_epi32(state, 16), state, keeps);
  // state / frequency, even and odd lanes apart.
  const __m256i shift =
      _mm256_add_epi32(_mm256_srli_epi32(entries.packed, 24), _mm256_set1_epi32(31));
  const __m256i even = _mm256_srlv_epi64(_mm256_mul_epu32(state, entries.reciprocal),
                                         _mm256_and_si256(shift, _mm256_set1_epi64x(0xFFFFFFFF)));
  const __m256i odd = _mm256_srlv_epi64(
      _mm256_mul_epu32(_mm256_srli_epi64(state, 32), _mm256_srli_epi64(entries.reciprocal, 32)),
      _mm256_srli_epi64(shift, 32));
  const __m256i quotient = _mm256_or_si256(even, _mm256_slli_epi64(odd, 32));
  const __m256i rest = _mm256_sub_epi32(_mm256_set1_epi32(kRansTotal), frequency);
  return _mm256_add_epi32(_mm256_add_epi32(state, start), _mm256_mullo_epi32(quotient, rest));
}

std::byte* EncodeAvx2(const RansEncoder::Table& table, const std::uint8_t* symbols,
                      std::size_t steps, std::uint32_t* states, std::byte* end) {
  __m256i state0 = LoadVector(states);
  __m256i state1 = LoadVector(states + 8);
  __m256i state2 = LoadVector(states + 16);
  __m256i state3 = LoadVector(states + 24);
  for (std::size_t step = steps; step-- > 0;) {
    const std::uint8_t* const row = symbols + step * kRansLanes;
    state3 = PutEight(table, row + 24, state3, &end);
    state2 = PutEight(table, row + 16, state2, &end);
    state1 = PutEight(table, row + 8, state1, &end);
    state0 = PutEight(table, row, state0, &end);
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states), state0);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 8), state1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 16), state2);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 24), state3);
  return end;
}

/// Table entries of eight states.
[[gnu::always_inline]] inline __m256i LookUp(const RansDecoder::Table& table, __m256i state) {
  const __m256i slot = _mm256_and_si256(state, _mm256_set1_epi32(kRansTotal - 1));
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(table.data()), slot, 4);
}

/// Eight lanes of RansAdvance, and a word for those that need one. May read 16 bytes of words.
[[gnu::always_inline]] inline __m256i Next(__m256i entry, __m256i state, const std::byte** words) {
  const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(entry, 8), _mm256_set1_epi32(0xFFF));
  state = _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(state, kRansBits)),
                           _mm256_srli_epi32(entry, 20));
  const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(kRansLow), state);
  const std::uint32_t takes = SignMask(low);
  const __m256i next = _mm256_permutevar8x32_epi32(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(*words))),
      LoadVector(kSpread[takes].data()));
  *words += std::ptrdiff_t{2} * std::popcount(takes);
  return _mm256_blendv_epi8(state, _mm256_or_si256(_mm256_slli_epi32(state, 16), next), low);
}

std::size_t DecodeAvx2(const RansDecoder::Table& table, std::uint8_t* symbols, std::size_t steps,
                       std::uint32_t* states, const std::byte** words, const std::byte* end) {
  __m256i state0 = LoadVector(states);
  __m256i state1 = LoadVector(states + 8);
  __m256i state2 = LoadVector(states + 16);
  __m256i state3 = LoadVector(states + 24);
  const __m256i byte = _mm256_set1_epi32(0xFF);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const std::byte* next = *words;
  std::size_t step = 0;
  for (; step < steps && end - next >= 2 * static_cast<std::ptrdiff_t>(kRansLanes); ++step) {
    const __m256i entry0 = LookUp(table, state0);
    const __m256i entry1 = LookUp(table, state1);
    const __m256i entry2 = LookUp(table, state2);
    const __m256i entry3 = LookUp(table, state3);
    state0 = Next(entry0, state0, &next);
    state1 = Next(entry1, state1, &next);
    state2 = Next(entry2, state2, &next);
    state3 = Next(entry3, state3, &next);
    // Packing works within halves of 16 bytes; the permutation puts the pieces in order.
    const __m256i low =
        _mm256_packus_epi32(_mm256_and_si256(entry0, byte), _mm256_and_si256(entry1, byte));
    const __m256i high =
        _mm256_packus_epi32(_mm256_and_si256(entry2, byte), _mm256_and_si256(entry3, byte));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + step * kRansLanes),
                        _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states), state0);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 8), state1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 16), state2);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 24), state3);
  *words = next;
  return step;
}

constexpr RansKernels kAvx2 = {.encode = EncodeAvx2, .decode = DecodeAvx2};

}  // namespace
#endif

const RansKernels* Avx2RansKernels() {
#if defined(__AVX2__)
  return __builtin_cpu_supports("avx2") != 0 ? &kAvx2 : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace cairn::internal

#include "libcache/codec/rans.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/base/endian.h"
#include "libcache/codec/rans_kernels.h"

namespace cairn {
namespace internal {
namespace {

std::byte* EncodePlain(const RansEncoder::Table& table, const std::uint8_t* symbols,
                       std::size_t steps, std::uint32_t* states, std::byte* end) {
  for (std::size_t step = steps; step-- > 0;) {
    const std::uint8_t* const row = symbols + step * kRansLanes;
    for (std::size_t lane = kRansLanes; lane-- > 0;) {
      states[lane] = RansPut(table[row[lane]], states[lane], &end);
    }
  }
  return end;
}

std::size_t DecodePlain(const RansDecoder::Table& table, std::uint8_t* symbols, std::size_t steps,
                        std::uint32_t* states, const std::byte** words, const std::byte* end) {
  const std::byte* next = *words;
  std::size_t step = 0;
  for (; step < steps && end - next >= 2 * static_cast<std::ptrdiff_t>(kRansLanes); ++step) {
    std::uint8_t* const row = symbols + step * kRansLanes;
    for (std::size_t lane = 0; lane < kRansLanes; ++lane) {
      const std::uint32_t entry = table[states[lane] & (kRansTotal - 1)];
      row[lane] = static_cast<std::uint8_t>(entry);
      const std::uint32_t state = RansAdvance(entry, states[lane]);
      const bool low = state < kRansLow;
      states[lane] = low ? state << 16U | RansWord(next) : state;
      next += low ? 2 : 0;
    }
  }
  *words = next;
  return step;
}

constexpr RansKernels kPlain = {.encode = EncodePlain, .decode = DecodePlain};

const RansKernels& BestKernels() {
  static const RansKernels* const best = Avx2RansKernels() != nullptr ? Avx2RansKernels() : &kPlain;
  return *best;
}

}  // namespace

const RansKernels& PlainRansKernels() { return kPlain; }

std::size_t RansEncodeWith(const RansKernels& kernels, const RansEncoder::Table& table,
                           const std::uint8_t* symbols, std::size_t count, std::byte* out) {
  std::array<std::uint32_t, kRansLanes> states{};
  states.fill(kRansLow);
  // Words are made from the last to the first, so they grow down from the end of the room.
  std::byte* const room_end = out + RansMaxBytes(count);
  std::byte* words = room_end;
  const std::size_t steps = count / kRansLanes;
  for (std::size_t i = count; i-- > steps * kRansLanes;) {
    std::uint32_t& state = states[i % kRansLanes];
    state = RansPut(table[symbols[i]], state, &words);
  }
  words = kernels.encode(table, symbols, steps, states.data(), words);
  std::memcpy(out, states.data(), sizeof(states));
  const auto bytes = static_cast<std::size_t>(room_end - words);
  std::memmove(out + sizeof(states), words, bytes);
  return sizeof(states) + bytes;
}

bool RansDecodeWith(const RansKernels& kernels, const RansDecoder::Table& table,
                    const std::byte* stream, std::size_t bytes, std::uint8_t* symbols,
                    std::size_t count) {
  std::array<std::uint32_t, kRansLanes> states{};
  if (bytes < sizeof(states) || bytes > RansMaxBytes(count) || bytes % 2 != 0) {
    return false;
  }
  std::memcpy(states.data(), stream, sizeof(states));
  for (const std::uint32_t state : states) {
    if (state < kRansLow || state >= 1U << 31U) {
      return false;
    }
  }
  const std::byte* words = stream + sizeof(states);
  const std::byte* const end = stream + bytes;
  const std::size_t steps =
      kernels.decode(table, symbols, count / kRansLanes, states.data(), &words, end);
  for (std::size_t i = steps * kRansLanes; i < count; ++i) {
    std::uint32_t& state = states[i % kRansLanes];
    const std::uint32_t entry = table[state & (kRansTotal - 1)];
    symbols[i] = static_cast<std::uint8_t>(entry);
    state = RansAdvance(entry, state);
    if (state < kRansLow) {
      if (words == end) {
        return false;
      }
      state = state << 16U | RansWord(words);
      words += 2;
    }
  }
  return words == end && std::all_of(states.begin(), states.end(),
                                     [](std::uint32_t state) { return state == kRansLow; });
}

}  // namespace internal

RansCounts CountBytes(std::span<const std::uint8_t> bytes) {
  // Equal neighbours would wait for each other's counter: hence four tables.
  std::array<RansCounts, 4> parts{};
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data() + i, 8);
    for (std::size_t j = 0; j < 8; ++j) {
      parts[j % 4][(eight >> (8 * j)) & 0xFFU] += 1;
    }
  }
  for (; i < bytes.size(); ++i) {
    parts[0][bytes[i]] += 1;
  }
  for (std::size_t s = 0; s < 256; ++s) {
    parts[0][s] += parts[1][s] + parts[2][s] + parts[3][s];
  }
  return parts[0];
}

RansModel RansModel::Of(const RansCounts& counts) {
  std::uint64_t total = 0;
  for (const std::uint32_t count : counts) {
    total += count;
  }
  RansModel model;
  auto& frequency = model.frequency;
  std::uint32_t sum = 0;
  std::uint32_t kinds = 0;
  for (std::size_t s = 0; s < 256; ++s) {
    if (counts[s] != 0) {
      // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): this count is part of the total.
      const std::uint64_t share = (std::uint64_t{counts[s]} * kRansTotal + total / 2) / total;
      frequency[s] =
          static_cast<std::uint16_t>(std::clamp<std::uint64_t>(share, 1, kRansTotal - 1));
      sum += frequency[s];
      ++kinds;
    }
  }
  // A frequency of all would need a thirteenth bit, so one symbol gets a neighbour.
  for (std::size_t s = 0; kinds < 2; ++s) {
    if (frequency[s] == 0) {
      frequency[s] = 1;
      ++sum;
      ++kinds;
    }
  }
  while (sum != kRansTotal) {  // The most frequent one feels it least.
    auto& most = *std::max_element(frequency.begin(), frequency.end());
    most = static_cast<std::uint16_t>(sum < kRansTotal ? most + 1 : most - 1);
    sum = sum < kRansTotal ? sum + 1 : sum - 1;
  }
  return model;
}

std::size_t RansModel::StoredBytes() const {
  const auto kinds = 256 - std::count(frequency.begin(), frequency.end(), 0);
  return 32 + 2 * static_cast<std::size_t>(kinds);
}

void RansModel::Store(std::span<std::byte> out) const {
  CAIRN_CHECK(out.size() >= StoredBytes());
  std::fill_n(out.begin(), 32, std::byte{0});
  std::size_t at = 32;
  for (std::size_t s = 0; s < 256; ++s) {
    if (frequency[s] != 0) {
      out[s / 8] |= static_cast<std::byte>(1U << (s % 8));
      StoreLe(out, at, frequency[s]);
      at += 2;
    }
  }
}

Result<RansModel> RansModel::Load(std::span<const std::byte> bytes) {
  const auto corrupt = [] { return Fail(ErrorCode::kCorrupt, "a rANS model is damaged"); };
  if (bytes.size() < 32) {
    return corrupt();
  }
  RansModel model;
  std::size_t at = 32;
  std::uint32_t sum = 0;
  for (std::size_t s = 0; s < 256; ++s) {
    if ((bytes[s / 8] >> (s % 8) & std::byte{1}) == std::byte{0}) {
      continue;
    }
    if (bytes.size() < at + 2) {
      return corrupt();
    }
    model.frequency[s] = LoadLe<std::uint16_t>(bytes, at);
    at += 2;
    if (model.frequency[s] == 0 || model.frequency[s] >= kRansTotal) {
      return corrupt();
    }
    sum += model.frequency[s];
  }
  if (sum != kRansTotal) {
    return corrupt();
  }
  return model;
}

RansEncoder::RansEncoder(const RansModel& model) {
  std::uint32_t start = 0;
  for (std::size_t s = 0; s < 256; ++s) {
    const std::uint32_t frequency = model.frequency[s];
    if (frequency == 0) {
      continue;
    }
    // Exact for dividends below 2^31: R. Alverson, "Integer division using reciprocals", 1991.
    const auto shift = static_cast<std::uint32_t>(std::bit_width(frequency - 1));
    table_[s] = {.reciprocal = static_cast<std::uint32_t>(
                     ((std::uint64_t{1} << (shift + 31)) + frequency - 1) / frequency),
                 .packed = frequency | start << 12U | shift << 24U};
    start += frequency;
  }
  CAIRN_CHECK(start == kRansTotal);
}

std::size_t RansEncoder::Encode(std::span<const std::uint8_t> symbols,
                                std::span<std::byte> out) const {
  CAIRN_CHECK(out.size() >= RansMaxBytes(symbols.size()));
  return internal::RansEncodeWith(internal::BestKernels(), table_, symbols.data(), symbols.size(),
                                  out.data());
}

RansDecoder::RansDecoder(const RansModel& model) {
  std::uint32_t slot = 0;
  for (std::uint32_t s = 0; s < 256; ++s) {
    const std::uint32_t frequency = model.frequency[s];
    CAIRN_CHECK(frequency < kRansTotal && slot + frequency <= kRansTotal);
    for (std::uint32_t i = 0; i < frequency; ++i) {
      table_[slot + i] = s | frequency << 8U | i << 20U;
    }
    slot += frequency;
  }
  CAIRN_CHECK(slot == kRansTotal);
}

Status RansDecoder::Decode(std::span<const std::byte> stream,
                           std::span<std::uint8_t> symbols) const {
  if (!internal::RansDecodeWith(internal::BestKernels(), table_, stream.data(), stream.size(),
                                symbols.data(), symbols.size())) {
    return Fail(ErrorCode::kCorrupt, "a rANS stream is damaged");
  }
  return {};
}

}  // namespace cairn

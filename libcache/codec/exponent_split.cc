#include "libcache/codec/exponent_split.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/base/endian.h"
#include "libcache/codec/planes.h"
#include "libcache/codec/rans.h"
#include "libcache/codec/sections.h"

namespace cairn {
namespace {

using internal::BestPlaneKernels;
using internal::kMaxPlanes;
using internal::Padded;
using internal::PlaneKind;
using internal::PlanesOf;
using internal::SectionReader;
using internal::SectionWriter;

constexpr std::size_t kChunkBytes = 128 * kKiB;
constexpr std::size_t kPrefixBytes = 8;  // Bytes of a chunk, number of chunks.
constexpr std::size_t kChunkHeaderBytes = 8;

enum class PlaneMode : std::uint8_t { kRaw = 0, kConstant = 1, kRans = 2 };

constexpr std::size_t kSamples = 1024;
constexpr std::size_t kRunElements = 32;
// A sample of 1024 from 256 equally likely bytes looks like 7.82 bits.
constexpr std::uint32_t kWorthBits = 7 * 65536 + 32768;

/// n * log2(n) in units of 2^-16, without libm: what is chosen must not depend on the machine.
constexpr std::array<std::uint32_t, kSamples + 1> MakeLogs() {
  std::array<std::uint32_t, kSamples + 1> logs{};
  for (std::uint32_t n = 1; n <= kSamples; ++n) {
    const auto whole = static_cast<std::uint32_t>(std::bit_width(n)) - 1;
    std::uint32_t log = whole;
    std::uint64_t x = (std::uint64_t{n} << 31U) >> whole;  // In [2^31, 2^32): n / 2^whole.
    for (int bit = 0; bit < 16; ++bit) {
      x = x * x >> 31U;
      log = log << 1U | static_cast<std::uint32_t>(x >> 32U);
      x >>= x >> 32U;
    }
    logs[n] = n * log;
  }
  return logs;
}
constexpr auto kLogs = MakeLogs();

struct PlaneGuess {
  std::uint32_t bits = 0;  ///< Entropy in units of 2^-16 bits per byte.
  bool coded = false;
};

struct ChunkGuess {
  PlaneKind kind = PlaneKind::kBytes;
  std::array<PlaneGuess, kMaxPlanes> planes;
  std::uint32_t cost = 0;  ///< Mean of the planes' bits, 8 for one that is kept.
};

ChunkGuess Guess(PlaneKind kind, std::span<const std::byte> chunk) {
  const std::size_t planes = PlanesOf(kind);
  const std::size_t elements = chunk.size() / planes;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): read as far as it was filled.
  std::array<std::uint8_t, kSamples * kMaxPlanes> sample;
  std::size_t taken = 0;
  const auto take = [&](std::size_t at, std::size_t count) {
    BestPlaneKernels().split(kind, chunk.data() + at * planes, count, sample.data() + taken,
                             kSamples);
    taken += count;
  };
  if (elements <= kSamples) {
    take(0, elements);
  } else {  // Runs all over the chunk, shifted against each other so that columns take turns.
    constexpr std::size_t kRuns = kSamples / kRunElements;
    const std::size_t apart = (elements - kRunElements) / kRuns;
    for (std::size_t run = 0; run < kRuns; ++run) {
      take(run * apart + std::min(apart, run % 4 * kRunElements), kRunElements);
    }
  }
  ChunkGuess guess{.kind = kind, .planes = {}, .cost = 0};
  for (std::size_t plane = 0; plane < planes; ++plane) {
    std::array<std::uint16_t, 256> counts{};
    for (std::size_t i = 0; i < taken; ++i) {
      counts[sample[plane * kSamples + i]] += 1;
    }
    std::uint64_t sum = 0;
    for (const std::uint16_t count : counts) {
      sum += kLogs[count];
    }
    auto& of_plane = guess.planes[plane];
    of_plane.bits = taken == 0 ? 0 : static_cast<std::uint32_t>((kLogs[taken] - sum) / taken);
    of_plane.coded = of_plane.bits < kWorthBits;
    guess.cost += of_plane.coded ? of_plane.bits : 8 * 65536;
  }
  guess.cost /= static_cast<std::uint32_t>(planes);
  return guess;
}

ChunkGuess BestGuess(Element element, std::span<const std::byte> chunk) {
  switch (element) {
    case Element::kF32: return Guess(PlaneKind::kFloat32, chunk);
    case Element::kBF16: return Guess(PlaneKind::kBFloat16, chunk);
    case Element::kF16: return Guess(PlaneKind::kHalf16, chunk);
    case Element::kBytes: break;
  }
  ChunkGuess best = Guess(PlaneKind::kBytes, chunk);
  for (const auto kind : {PlaneKind::kFloat32, PlaneKind::kBFloat16, PlaneKind::kHalf16}) {
    if (const ChunkGuess guess = Guess(kind, chunk); guess.cost < best.cost) {
      best = guess;
    }
  }
  return best;
}

/// Header and padding; a plane is never longer than its bytes.
constexpr std::size_t kMostAroundChunk = kChunkHeaderBytes + 4 * (kMaxPlanes + 1);

struct Buffers {
  alignas(64) std::array<std::uint8_t, kChunkBytes> planes;
  alignas(64) std::array<std::byte, RansMaxBytes(kChunkBytes)> stream;
};

PlaneMode EncodePlane(std::span<const std::uint8_t> plane, bool coded, Buffers& buffers,
                      SectionWriter& writer) {
  if (coded && !plane.empty()) {
    const RansCounts counts = CountBytes(plane);
    if (counts[plane.front()] == plane.size()) {
      writer.Put(plane.data(), 1);
      return PlaneMode::kConstant;
    }
    const RansModel model = RansModel::Of(counts);
    const std::size_t bytes = RansEncoder(model).Encode(plane, buffers.stream);
    if (4 + model.StoredBytes() + Padded(bytes) < plane.size()) {
      internal::PutRans(model, std::span(buffers.stream).first(bytes), writer);
      return PlaneMode::kRans;
    }
  }
  writer.Put(plane.data(), plane.size());
  return PlaneMode::kRaw;
}

std::size_t EncodeChunk(Element element, std::span<const std::byte> raw, Buffers& buffers,
                        std::span<std::byte> out) {
  ChunkGuess guess = BestGuess(element, raw);
  const bool nothing = std::none_of(guess.planes.begin(), guess.planes.end(),
                                    [](const PlaneGuess& plane) { return plane.coded; });
  if (nothing) {
    guess.kind = PlaneKind::kBytes;
  }
  const std::size_t planes = PlanesOf(guess.kind);
  const std::size_t elements = raw.size() / planes;
  SectionWriter writer(out);
  std::array<std::uint8_t, kChunkHeaderBytes> header{};
  header[0] = static_cast<std::uint8_t>(guess.kind);
  writer.Put(header.data(), header.size());
  if (nothing) {
    writer.Put(raw.data(), raw.size());
    return writer.at();
  }
  BestPlaneKernels().split(guess.kind, raw.data(), elements, buffers.planes.data(), elements);
  for (std::size_t plane = 0; plane < planes; ++plane) {
    const std::span<const std::uint8_t> bytes(buffers.planes.data() + plane * elements, elements);
    header[1 + plane] =
        static_cast<std::uint8_t>(EncodePlane(bytes, guess.planes[plane].coded, buffers, writer));
  }
  writer.Put(raw.data() + elements * planes, raw.size() - elements * planes);
  std::memcpy(out.data(), header.data(), header.size());
  return writer.at();
}

/// Where the plane's bytes are afterwards: in `room`, or in the chunk itself. Null if damaged.
const std::uint8_t* DecodePlane(std::uint8_t mode, SectionReader& reader,
                                std::span<std::uint8_t> room) {
  if (mode == static_cast<std::uint8_t>(PlaneMode::kRaw)) {
    return reinterpret_cast<const std::uint8_t*>(reader.Take(room.size()));
  }
  if (mode == static_cast<std::uint8_t>(PlaneMode::kConstant)) {
    const std::byte* const value = reader.Take(1);
    if (value == nullptr) {
      return nullptr;
    }
    std::fill(room.begin(), room.end(), std::to_integer<std::uint8_t>(*value));
    return room.data();
  }
  const bool coded = mode == static_cast<std::uint8_t>(PlaneMode::kRans);
  return coded && internal::TakeRans(reader, room) ? room.data() : nullptr;
}

Status DecodeChunk(std::span<const std::byte> chunk, Buffers& buffers, std::span<std::byte> out) {
  const auto corrupt = [] { return Fail(ErrorCode::kCorrupt, "a chunk of a frame is damaged"); };
  SectionReader reader(chunk);
  const std::byte* const head = reader.Take(kChunkHeaderBytes);
  if (head == nullptr || std::to_integer<std::size_t>(head[0]) >= internal::kPlaneKinds ||
      (head[5] | head[6] | head[7]) != std::byte{0}) {
    return corrupt();
  }
  const auto kind = static_cast<PlaneKind>(head[0]);
  const std::size_t planes = PlanesOf(kind);
  const std::size_t elements = out.size() / planes;
  std::array<const std::uint8_t*, kMaxPlanes> at{};
  for (std::size_t plane = 0; plane < planes; ++plane) {
    at[plane] = DecodePlane(std::to_integer<std::uint8_t>(head[1 + plane]), reader,
                            {buffers.planes.data() + plane * elements, elements});
    if (at[plane] == nullptr) {
      return corrupt();
    }
  }
  const std::size_t rest = out.size() - elements * planes;
  const std::byte* const tail = reader.Take(rest);
  if (tail == nullptr || !reader.Done()) {
    return corrupt();
  }
  BestPlaneKernels().merge(kind, at.data(), elements, out.data());
  std::memcpy(out.data() + elements * planes, tail, rest);
  return {};
}

class ExponentSplit final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override { return CodecId::kExponentSplit; }
  [[nodiscard]] std::string_view name() const override { return "exponent_split"; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kExact; }

  [[nodiscard]] Status Check(const CodecShape&, std::uint64_t) const override { return {}; }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape&,
                                              std::uint64_t raw_bytes) const override {
    return kPrefixBytes + raw_bytes + Chunks(raw_bytes) * (4 + kMostAroundChunk);
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const std::size_t chunks = Chunks(raw.size());
    StoreLe(out, 0, static_cast<std::uint32_t>(kChunkBytes));
    StoreLe(out, 4, static_cast<std::uint32_t>(chunks));
    const auto buffers = std::make_unique_for_overwrite<Buffers>();
    std::size_t at = kPrefixBytes + 4 * chunks;
    for (std::size_t i = 0; i < chunks; ++i) {
      const auto part =
          raw.subspan(i * kChunkBytes, std::min(kChunkBytes, raw.size() - i * kChunkBytes));
      const std::size_t bytes = EncodeChunk(shape.element, part, *buffers, out.subspan(at));
      StoreLe(out, kPrefixBytes + 4 * i, static_cast<std::uint32_t>(bytes));
      at += bytes;
    }
    return at;
  }

  Status DecodePayload(const CodecShape&, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    const auto corrupt = [] { return Fail(ErrorCode::kCorrupt, "a frame's index is damaged"); };
    const std::size_t chunks = Chunks(out.size());
    if (payload.size() < kPrefixBytes + 4 * chunks ||
        LoadLe<std::uint32_t>(payload, 0) != kChunkBytes ||
        LoadLe<std::uint32_t>(payload, 4) != chunks) {
      return corrupt();
    }
    const auto buffers = std::make_unique_for_overwrite<Buffers>();
    std::size_t at = kPrefixBytes + 4 * chunks;
    for (std::size_t i = 0; i < chunks; ++i) {
      const auto bytes = LoadLe<std::uint32_t>(payload, kPrefixBytes + 4 * i);
      if (bytes > payload.size() - at) {
        return corrupt();
      }
      const auto part =
          out.subspan(i * kChunkBytes, std::min(kChunkBytes, out.size() - i * kChunkBytes));
      if (auto decoded = DecodeChunk(payload.subspan(at, bytes), *buffers, part); !decoded) {
        return decoded;
      }
      at += bytes;
    }
    return at == payload.size() ? Status{} : corrupt();
  }

 private:
  static std::size_t Chunks(std::uint64_t raw_bytes) {
    return (raw_bytes + kChunkBytes - 1) / kChunkBytes;
  }
};

}  // namespace

const Codec& ExponentSplitCodec() {
  static const ExponentSplit codec;
  return codec;
}

}  // namespace cairn

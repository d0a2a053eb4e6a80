// Codecs: speed of one core in bytes of the object, and size. Each figure comes with the yardsticks
// of the same data in the same run: memcpy, and byte planes packed by zstd at level 1.
#include <benchmark/benchmark.h>
#include <time.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/codec/codec.h"
#include "libcache/codec/planes.h"
#include "tests/unit/libcache/codec/gdn_states.h"

namespace {

using namespace cairn;  // NOLINT(google-build-using-namespace): a program of one file.

/// Of this thread's time on a core: others on the machine do not count.
double Now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Bytes per second of the fastest of some runs.
template <class Work>
double Speed(std::size_t bytes, const Work& work) {
  double best = 1e9;
  for (int i = 0; i < 9; ++i) {
    const double start = Now();
    work();
    best = std::min(best, Now() - start);
  }
  return static_cast<double>(bytes) / best;
}

struct Yardsticks {
  double copy = 0;
  double zstd_encode = 0;
  double zstd_decode = 0;
  double zstd_ratio = 0;
};

struct Data {
  std::string name{};
  CodecShape shape{};
  std::vector<std::byte> raw{};
  Yardsticks yardsticks{};
};

std::size_t Zstd(std::size_t result) {
  CAIRN_CHECK(ZSTD_isError(result) == 0U);
  return result;
}

/// Planes of chunks as ours, each plane a zstd frame.
Yardsticks Measure(const Data& data) {
  constexpr std::size_t kChunk = 128 << 10;
  const auto kind = data.shape.element == Element::kF32   ? internal::PlaneKind::kFloat32
                    : data.shape.element == Element::kF16 ? internal::PlaneKind::kHalf16
                                                          : internal::PlaneKind::kBFloat16;
  const std::size_t planes = internal::PlanesOf(kind);
  const std::size_t bytes = data.raw.size() / kChunk * kChunk;
  std::vector<std::byte> copy(bytes);
  Yardsticks found;
  found.copy = Speed(bytes, [&] {
    std::memcpy(copy.data(), data.raw.data(), bytes);
    benchmark::ClobberMemory();
  });
  std::vector<std::uint8_t> split(kChunk);
  std::vector<char> packed(bytes + bytes / 8 + kChunk);
  std::vector<std::size_t> sizes;
  ZSTD_CCtx* const compressor = ZSTD_createCCtx();
  ZSTD_DCtx* const decompressor = ZSTD_createDCtx();
  found.zstd_encode = Speed(bytes, [&] {
    sizes.clear();
    std::size_t at = 0;
    for (std::size_t chunk = 0; chunk < bytes; chunk += kChunk) {
      const std::size_t count = kChunk / planes;
      internal::BestPlaneKernels().split(kind, data.raw.data() + chunk, count, split.data(), count);
      for (std::size_t plane = 0; plane < planes; ++plane) {
        sizes.push_back(Zstd(ZSTD_compressCCtx(compressor, packed.data() + at, packed.size() - at,
                                               split.data() + plane * count, count, 1)));
        at += sizes.back();
      }
    }
    found.zstd_ratio = static_cast<double>(at) / static_cast<double>(bytes);
  });
  found.zstd_decode = Speed(bytes, [&] {
    std::size_t at = 0;
    std::size_t frame = 0;
    for (std::size_t chunk = 0; chunk < bytes; chunk += kChunk) {
      const std::size_t count = kChunk / planes;
      std::array<const std::uint8_t*, internal::kMaxPlanes> from{};
      for (std::size_t plane = 0; plane < planes; ++plane, ++frame) {
        Zstd(ZSTD_decompressDCtx(decompressor, split.data() + plane * count, count,
                                 packed.data() + at, sizes[frame]));
        from[plane] = split.data() + plane * count;
        at += sizes[frame];
      }
      internal::BestPlaneKernels().merge(kind, from.data(), count, copy.data() + chunk);
    }
  });
  CAIRN_CHECK(std::equal(copy.begin(), copy.end(), data.raw.begin()));
  ZSTD_freeCCtx(compressor);
  ZSTD_freeDCtx(decompressor);
  return found;
}

/// Runs `work` and reports its speed as such and in parts of the yardsticks'.
template <class Work>
void Run(benchmark::State& state, const Data& data, double peer, const Work& work) {
  const double start = Now();
  for (auto _ : state) {
    work();
    benchmark::ClobberMemory();
  }
  const double bytes =
      static_cast<double>(state.iterations()) * static_cast<double>(data.raw.size());
  const double speed = bytes / (Now() - start);
  state.counters["GB/s"] = speed / 1e9;
  state.counters["of_memcpy"] = speed / data.yardsticks.copy;
  state.counters["of_zstd1"] = speed / peer;
}

void BM_Encode(benchmark::State& state, const Codec* codec, const Data* data) {
  std::vector<std::byte> frame(MaxEncodedBytes(*codec, data->shape, data->raw.size()).value());
  std::size_t bytes = 0;
  Run(state, *data, data->yardsticks.zstd_encode,
      [&] { bytes = Encode(*codec, data->shape, data->raw, frame).value(); });
  state.counters["size"] = static_cast<double>(bytes) / static_cast<double>(data->raw.size());
  state.counters["zstd1_size"] = data->yardsticks.zstd_ratio;
}

void BM_Decode(benchmark::State& state, const Codec* codec, const Data* data) {
  std::vector<std::byte> frame(MaxEncodedBytes(*codec, data->shape, data->raw.size()).value());
  frame.resize(Encode(*codec, data->shape, data->raw, frame).value());
  std::vector<std::byte> out(data->raw.size());
  Run(state, *data, data->yardsticks.zstd_decode,
      [&] { CAIRN_CHECK(Decode(frame, out).has_value()); });
  CAIRN_CHECK(codec->fidelity() != Fidelity::kExact || out == data->raw);
}

std::vector<Data> MakeData() {
  std::vector<Data> all;
  const auto states = testing::GdnStates(32, 300, 1);
  const CodecShape shape{.element = Element::kF32, .matrices = 32, .rows = 128, .columns = 128};
  all.push_back({.name = "gdn_f32", .shape = shape, .raw = testing::BytesOf(states)});
  all.push_back({.name = "gdn_bf16", .shape = shape, .raw = testing::AsBf16(states)});
  all.back().shape.element = Element::kBF16;
  all.push_back({.name = "kv_bf16",
                 .shape = {.element = Element::kBF16, .matrices = 16, .rows = 256, .columns = 256},
                 .raw = testing::AsBf16(testing::KvValues(16, 256, 256, 2))});
  // Objects of an engine, one a file, for a look at real ones: NAME.f32, NAME.f16 or NAME.bf16.
  const char* const folder = std::getenv("CAIRN_CODEC_OBJECTS");
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder != nullptr ? folder : "", none)) {
    std::ifstream file(entry.path(), std::ios::binary);
    Data data{.name = entry.path().filename().string()};
    data.raw.resize(entry.file_size());
    file.read(reinterpret_cast<char*>(data.raw.data()),
              static_cast<std::streamsize>(data.raw.size()));
    const auto type = entry.path().extension();
    data.shape.element = type == ".f32"   ? Element::kF32
                         : type == ".f16" ? Element::kF16
                                          : Element::kBF16;
    data.shape.columns =
        static_cast<std::uint32_t>(data.raw.size() / ElementBytes(data.shape.element));
    all.push_back(std::move(data));
  }
  for (Data& data : all) {
    data.yardsticks = Measure(data);
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::vector<Data> all = MakeData();
  for (const Data& data : all) {
    for (const Codec* codec : Codecs()) {
      if (!codec->Check(data.shape, data.raw.size())) {
        continue;
      }
      const std::string name = std::string(codec->name()) + "/" + data.name;
      benchmark::RegisterBenchmark(("encode/" + name).c_str(), BM_Encode, codec, &data);
      benchmark::RegisterBenchmark(("decode/" + name).c_str(), BM_Decode, codec, &data);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

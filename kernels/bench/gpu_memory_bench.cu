// What moves bytes on a GPU rather than computes, next to the device's own copy in the same run: KV
// packed and unpacked, tails replayed, states transposed, codecs; and small pieces by kernel or by
// copy engine. Shapes of Qwen3-Next: 36 recurrent layers of 32 heads of 128 x 128, 12 of attention
// with 2 heads of 256. All that is read is random: zeros cost less to move, and codecs less to
// code.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "kernels/arith/elements.h"
#include "kernels/bench/gpu_timing.h"
#include "kernels/tests/random.h"
#include "kernels/tests/split_encoder.h"

namespace cairn::kernels::bench {
namespace {

constexpr int kStateLayers = 36;
constexpr int kHeads = 32;
constexpr int kKeyHeads = 16;
constexpr int kDim = 128;
constexpr std::int64_t kStateElements = std::int64_t{kHeads} * kDim * kDim;  ///< Of a layer.
constexpr int kTail = 64;
constexpr int kKvLayers = 12;
constexpr int kKvHeads = 2;
constexpr int kUnitBytes = 512;
constexpr int kTokens = 8192;
constexpr int kPageTokens = 16;

/// A call to be measured, and what it moves.
struct Measured {
  std::string name;
  double bytes;  ///< Read and written: 150 MB and more, which no cache holds.
  std::function<void()> call;
};

std::vector<float> Floats(std::size_t count, double from, double to, std::uint64_t seed) {
  test::Random random(seed);
  std::vector<float> values(count);
  std::generate(values.begin(), values.end(),
                [&] { return static_cast<float>(random.Uniform(from, to)); });
  return values;
}

/// A few megabytes of noise: any bytes, and normal numbers.
std::vector<std::uint64_t> Noise() {
  test::Random random(4);
  std::vector<std::uint64_t> words(1 << 20);
  std::generate(words.begin(), words.end(), [&] { return random.Next(); });
  return words;
}
std::vector<Bf16> Normal() {
  test::Random random(6);
  std::vector<Bf16> values(1 << 21);
  std::generate(values.begin(), values.end(),
                [&] { return Bf16{Bf16Bits(static_cast<float>(random.Normal()))}; });
  return values;
}
/// `bytes` on the device, of `block` again and again.
template <class T>
void* Filled(Arena& arena, std::size_t bytes, const std::vector<T>& block) {
  auto* const all = static_cast<unsigned char*>(arena.Empty(bytes));
  const std::size_t each = block.size() * sizeof(T);
  for (std::size_t at = 0; at < bytes; at += each) {
    Must(cudaMemcpy(all + at, block.data(), std::min(each, bytes - at), cudaMemcpyHostToDevice));
  }
  return all;
}

/// The yardstick: cudaMemcpyAsync from device to device of as many bytes as a pack moves.
Measured Copy(Arena& arena, cudaStream_t stream) {
  const std::size_t bytes = std::size_t{kTokens} * kKvLayers * 2 * kKvHeads * kUnitBytes;
  void* const from = Filled(arena, bytes, Noise());
  void* const to = arena.Empty(bytes);
  return {"cudaMemcpyAsync, 201 MB", 2.0 * static_cast<double>(bytes),
          [=] { Must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream)); }};
}

/// Pages in no order, as an engine's are after a while.
Measured Kv(bool unpack, bool digests, Arena& arena, cudaStream_t stream) {
  const cairn_kernels_kv_shape shape = {.layers = kKvLayers,
                                        .kv = 2,
                                        .heads = kKvHeads,
                                        .unit_bytes = kUnitBytes,
                                        .pages = kTokens / kPageTokens,
                                        .page_tokens = kPageTokens};
  const std::int64_t bytes = std::int64_t{kTokens} * kKvLayers * 2 * kKvHeads * kUnitBytes;
  cairn_kernels_kv args{};
  args.struct_bytes = sizeof(args);
  args.direction = unpack ? CAIRN_KERNELS_KV_UNPACK : CAIRN_KERNELS_KV_PACK;
  args.layers = kKvLayers;
  args.kv = 2;
  args.heads = kKvHeads;
  args.unit_bytes = kUnitBytes;
  args.range_count = 1;
  Must(cairn_kernels_kv_layout_of(CAIRN_KERNELS_KV_VLLM_NHD, &shape, &args.paged));
  args.paged.data = Filled(arena, static_cast<std::size_t>(bytes), Noise());
  args.objects = Filled(arena, static_cast<std::size_t>(bytes), Noise());
  args.object_bytes = bytes;
  cairn_kernels_kv_range range{};
  range.object_tokens = range.tokens = kTokens;
  range.rope = -1;
  args.ranges = arena.Put(std::vector{range});
  std::vector<std::int32_t> pages(kTokens / kPageTokens);
  std::iota(pages.begin(), pages.end(), 0);
  test::Random random(2);
  for (std::size_t i = pages.size(); i > 1; --i) {
    std::swap(pages[i - 1], pages[random.Next() % i]);
  }
  args.page_ids = arena.Put(pages);
  args.page_id_count = static_cast<std::int64_t>(pages.size());
  args.leaf_count = bytes / CAIRN_KERNELS_LEAF_BYTES;
  if (digests) {
    args.leaves = static_cast<cairn_kernels_digest*>(
        arena.Empty(static_cast<std::size_t>(args.leaf_count) * sizeof(cairn_kernels_digest)));
    cairn_kernels_kv pack = args;  // What unpacking compares with.
    pack.direction = CAIRN_KERNELS_KV_PACK;
    Must(cairn_kernels_kv_cuda(&pack, stream));
  }
  const std::string name = std::string(unpack ? "unpack" : "pack") + " 8192 tokens x 12 layers" +
                           (digests ? ", digests" : "");
  return {name, 2.0 * static_cast<double>(bytes),
          [=] { Must(cairn_kernels_kv_cuda(&args, stream)); }};
}

Measured Replay(int mode, Arena& arena, cudaStream_t stream) {
  cairn_kernels_replay args{};
  args.struct_bytes = sizeof(args);
  args.rule = CAIRN_KERNELS_GATED_DELTA;
  args.mode = mode;
  args.layers = kStateLayers;
  args.sequences = args.restores = 1;
  args.key_heads = kKeyHeads;
  args.value_heads = kHeads;
  args.key_dim = args.value_dim = kDim;
  args.tokens = kTail;
  args.cu_seqlens = arena.Put(std::vector<std::int32_t>{0, kTail});
  const auto rows = [&](int heads, int width, double from, double to) {
    void* const data = arena.Put(Floats(
        std::size_t{kStateLayers} * kTail * static_cast<std::size_t>(heads * width), from, to, 3));
    return cairn_kernels_rows{data, std::int64_t{heads} * width, width, CAIRN_KERNELS_F32, 0};
  };
  args.key = rows(kKeyHeads, kDim, -0.1, 0.1);
  args.value = rows(kHeads, kDim, -1, 1);
  args.gate = rows(kHeads, 1, 0.9, 1);
  args.key_layer_stride = std::int64_t{kTail} * kKeyHeads * kDim;
  args.value_layer_stride = std::int64_t{kTail} * kHeads * kDim;
  args.gate_layer_stride = std::int64_t{kTail} * kHeads;
  args.positions = arena.Put(std::vector<std::int32_t>{kTail});
  args.base_slots = args.target_slots = arena.Put(std::vector<std::int32_t>{0});
  const std::size_t states = std::size_t{kStateLayers} * kStateElements * 4;
  args.base = {Filled(arena, states, Floats(1 << 20, -1, 1, 8)),
               nullptr,
               kStateElements,
               kStateElements,
               1,
               CAIRN_KERNELS_F32};
  args.target = {arena.Empty(states), nullptr, kStateElements,
                 kStateElements,      1,       CAIRN_KERNELS_F32};
  const double log = 4.0 * kStateLayers * kTail * (kKeyHeads * kDim + kHeads * kDim + kHeads);
  return {mode == CAIRN_KERNELS_REPLAY_EXACT ? "replay 64 tokens x 36 layers, exact"
                                             : "replay 64 tokens x 36 layers, folded",
          2.0 * static_cast<double>(states) + log,
          [=] { Must(cairn_kernels_replay_cuda(&args, stream)); }};
}

Measured Transpose(Arena& arena, cudaStream_t stream) {
  const std::size_t states = std::size_t{kStateLayers} * kStateElements * 4;
  cairn_kernels_transpose args{};
  args.struct_bytes = sizeof(args);
  args.to_key_first = 1;
  args.layers = kStateLayers;
  args.count = 1;
  args.heads = kHeads;
  args.key_dim = args.value_dim = kDim;
  args.from = {Filled(arena, states, Noise()),
               nullptr,
               kStateElements,
               kStateElements,
               1,
               CAIRN_KERNELS_F32};
  args.to = {arena.Empty(states), nullptr, kStateElements, kStateElements, 1, CAIRN_KERNELS_F32};
  return {"transpose 36 layers", 2.0 * static_cast<double>(states),
          [=] { Must(cairn_kernels_transpose_cuda(&args, stream)); }};
}

Measured Quantise(int codec, const char* name, bool decode, Arena& arena, cudaStream_t stream) {
  const bool states = codec == CAIRN_KERNELS_INT8_COLUMN;
  cairn_kernels_quantise args{};
  args.struct_bytes = sizeof(args);
  args.codec = codec;
  args.dtype = states ? CAIRN_KERNELS_F32 : CAIRN_KERNELS_BF16;
  args.matrices = states ? kStateLayers * kHeads : 2 * kKvLayers;
  args.rows = states ? kDim : kTokens;
  args.columns = states ? kDim : kKvHeads * kUnitBytes / 2;
  args.payload_bytes =
      cairn_kernels_quantised_bytes(codec, args.dtype, args.matrices, args.rows, args.columns);
  const double elements = 1.0 * args.matrices * args.rows * args.columns;
  const auto bytes = static_cast<std::size_t>(elements) * (states ? 4 : 2);
  args.values =
      states ? Filled(arena, bytes, Floats(1 << 20, -1, 1, 5)) : Filled(arena, bytes, Normal());
  args.payload = arena.Empty(static_cast<std::size_t>(args.payload_bytes));
  if (decode) {
    Must(cairn_kernels_quantise_cuda(&args, stream));
    args.decode = 1;
  }
  return {std::string(decode ? "decode " : "encode ") + name,
          static_cast<double>(bytes) + static_cast<double>(args.payload_bytes),
          [=] { Must(cairn_kernels_quantise_cuda(&args, stream)); }};
}

/// Of one state's bytes: exponents of a few values, mantissas of noise.
Measured ExponentSplit(Arena& arena, cudaStream_t stream) {
  test::Random random(7);
  std::vector<std::byte> object(std::size_t{kStateLayers} * kStateElements * 4);
  for (std::size_t i = 0; i < object.size(); i += 4) {
    const auto exponent = static_cast<std::uint32_t>(118 + random.Below(4) + random.Below(4));
    const std::uint32_t bits =
        (static_cast<std::uint32_t>(random.Next()) & 0x807FFFFFU) | exponent << 23U;
    std::memcpy(&object[i], &bits, 4);
  }
  const auto payload = test::EncodeSplit(object, [](std::size_t) {
    return test::SplitChoice{.kind = 1, .mode = {2, 0, 0, 0}};
  });
  cairn_kernels_exponent_split args{};
  args.struct_bytes = sizeof(args);
  args.payload = arena.Put(payload);
  args.payload_bytes = static_cast<std::int64_t>(payload.size());
  args.object = arena.Empty(object.size());
  args.object_bytes = static_cast<std::int64_t>(object.size());
  return {"decode exponent_split, 75 MB",
          static_cast<double>(object.size()) + static_cast<double>(payload.size()),
          [=] { Must(cairn_kernels_exponent_split_cuda(&args, stream)); }};
}

using Maker = std::function<Measured(Arena&, cudaStream_t)>;

std::vector<Maker> Makers() {
  std::vector<Maker> makers = {Copy};
  for (const bool unpack : {false, true}) {
    for (const bool digests : {false, true}) {
      makers.emplace_back([=](Arena& a, cudaStream_t s) { return Kv(unpack, digests, a, s); });
    }
  }
  for (const int mode : {CAIRN_KERNELS_REPLAY_EXACT, CAIRN_KERNELS_REPLAY_FOLDED}) {
    makers.emplace_back([=](Arena& a, cudaStream_t s) { return Replay(mode, a, s); });
  }
  makers.emplace_back(Transpose);
  const std::pair<int, const char*> codecs[] = {{CAIRN_KERNELS_INT8_COLUMN, "int8_column, 75 MB"},
                                                {CAIRN_KERNELS_FP8_KV, "fp8_kv, 201 MB"},
                                                {CAIRN_KERNELS_KIVI4, "kivi4, 201 MB"}};
  for (const auto& [codec, name] : codecs) {
    for (const bool decode : {false, true}) {
      makers.emplace_back([codec = codec, name = name, decode](Arena& a, cudaStream_t s) {
        return Quantise(codec, name, decode, a, s);
      });
    }
  }
  makers.emplace_back(ExponentSplit);
  return makers;
}

constexpr int kCopyPieces = 512;

/// GB/s of pieces that lie apart, from pinned memory to the device: what the GPU tier does.
struct CopySpeed {
  double kernel;
  double engine;  ///< One cudaMemcpyAsync each.
};

CopySpeed MeasureCopies(std::int64_t piece_bytes, cudaStream_t stream) {
  Arena arena;
  const auto all = static_cast<std::size_t>(kCopyPieces * piece_bytes);
  void* host = nullptr;
  Must(cudaHostAlloc(&host, all, cudaHostAllocPortable));
  const std::vector<std::uint64_t> noise = Noise();
  for (std::size_t at = 0; at < all; at += noise.size() * 8) {
    std::memcpy(static_cast<unsigned char*>(host) + at, noise.data(),
                std::min(noise.size() * 8, all - at));
  }
  auto* const device = static_cast<unsigned char*>(arena.Empty(2 * all));
  std::vector<cairn_kernels_piece> pieces;
  for (int i = 0; i < kCopyPieces; ++i) {
    pieces.push_back({static_cast<unsigned char*>(host) + i * piece_bytes,
                      device + 2 * i * piece_bytes, piece_bytes});
  }
  cairn_kernels_copy args{};
  args.struct_bytes = sizeof(args);
  args.count = kCopyPieces;
  args.pieces = arena.Put(pieces);
  args.max_blocks = 16;  // As the GPU tier allows it.
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  Must(cudaEventCreate(&begin));
  Must(cudaEventCreate(&end));
  const auto speed = [&](const auto& copy) {
    std::vector<double> us;
    for (int i = 0; i < kReplays; ++i) {
      Must(cudaEventRecord(begin, stream));
      copy();
      Must(cudaEventRecord(end, stream));
      Must(cudaEventSynchronize(end));
      float ms = 0;
      Must(cudaEventElapsedTime(&ms, begin, end));
      us.push_back(ms * 1e3);
    }
    std::sort(us.begin(), us.end());
    return static_cast<double>(all) / us[us.size() / 2] / 1e3;
  };
  const CopySpeed result = {
      speed([&] { Must(cairn_kernels_copy_cuda(&args, stream)); }), speed([&] {
        for (const cairn_kernels_piece& piece : pieces) {
          Must(cudaMemcpyAsync(piece.target, piece.source, static_cast<std::size_t>(piece_bytes),
                               cudaMemcpyHostToDevice, stream));
        }
      })};
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaFreeHost(host);
  return result;
}

/// Where the copy engine catches up with a kernel: docs/decisions/0010-gpu-tier.md.
void PrintCopies(bool json, cudaStream_t stream) {
  std::printf(json ? "],\"copies\":["
                   : "\n%d pieces from pinned memory, GB/s, median; 16 blocks\n%-36s %10s %10s\n",
              kCopyPieces, "piece", "kernel", "engine");
  const char* separator = "";
  for (const int kib : {4, 16, 28, 32, 40, 48, 64, 128}) {
    const CopySpeed speed = MeasureCopies(std::int64_t{kib} * 1024, stream);
    std::printf(json ? "%s{\"piece_bytes\":%d,\"kernel_gbs\":%.2f,\"engine_gbs\":%.2f}"
                     : "%s%-36d %10.2f %10.2f\n",
                separator, kib * 1024, speed.kernel, speed.engine);
    separator = json ? "," : "";
  }
}

void Run(const char* device, bool json, cudaStream_t stream) {
  if (!json) {
    std::printf("%s; graph replay, median; of the device's own copy in this run\n", device);
    std::printf("%-40s %10s %10s %10s %10s\n", "call", "us", "GB/s", "of copy", "host us");
  }
  const char* separator = "";
  double copy = 0;
  std::printf(json ? "{\"device\":\"%s\",\"calls\":[" : "%.0s", device);
  for (const Maker& make : Makers()) {
    Arena arena;
    const Measured measured = make(arena, stream);
    const Times times = TimeCalls(stream, [&](int) { measured.call(); });
    const double rate = measured.bytes / times.device_us / 1e3;
    copy = copy == 0 ? rate : copy;
    std::printf(json ? "%s{\"name\":\"%s\",\"device_us\":%.2f,\"gb_per_s\":%.1f,\"of_copy\":%.3f,"
                       "\"host_us\":%.2f}"
                     : "%s%-40s %10.2f %10.1f %10.3f %10.2f\n",
                separator, measured.name.c_str(), times.device_us, rate, rate / copy,
                times.host_us);
    separator = json ? "," : "";
  }
  PrintCopies(json, stream);
  std::printf(json ? "]}\n" : "");
}

}  // namespace
}  // namespace cairn::kernels::bench

int main(int argc, char** argv) {
  return cairn::kernels::bench::OnDevice("kernels_gpu_memory_bench", argc, argv,
                                         cairn::kernels::bench::Run);
}

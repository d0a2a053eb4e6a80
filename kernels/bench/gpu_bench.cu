// The kernels on a GPU: medians over replays of a graph, fresh random data in several sets, next to
// the floors that docs/benchmarks.md derives. Gated DeltaNet with the heads of Qwen3-Next, 16 of
// keys and 32 of values, and KDA with those of Kimi Linear, 32 of both; 128 wide each.
#include <string>

#include "kernels/arith/elements.h"
#include "kernels/bench/gpu_timing.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::bench {
namespace {

constexpr int kValueHeads = 32;
constexpr int kDim = 128;

struct Case {
  std::string name;
  int sequences;
  int tokens;  ///< Of each sequence.
  bool scan;
  bool outputs;
  int emissions;  ///< In the first sequence, evenly.
  double floor_us;
  int rule = CAIRN_KERNELS_GATED_DELTA;
};

std::vector<float> Uniform(std::size_t count, double from, double to, test::Random& random) {
  std::vector<float> values(count);
  std::generate(values.begin(), values.end(),
                [&] { return static_cast<float>(random.Uniform(from, to)); });
  return values;
}
std::vector<Bf16> Normal(std::size_t count, test::Random& random) {
  std::vector<Bf16> values(count);
  std::generate(values.begin(), values.end(),
                [&] { return Bf16{Bf16Bits(static_cast<float>(random.Normal()))}; });
  return values;
}

cairn_kernels_scan MakeCall(const Case& c, Arena& arena, test::Random& random) {
  const std::int64_t tokens = std::int64_t{c.sequences} * c.tokens;
  const bool channel = c.rule == CAIRN_KERNELS_KDA;
  const int key_heads = channel ? kValueHeads : kValueHeads / 2;
  const int gates = channel ? kDim : 1;
  const auto count = [&](int heads, int width) {
    return static_cast<std::size_t>(tokens * heads * width);
  };
  const auto rows = [](void* data, int heads, int width, int dtype) {
    return cairn_kernels_rows{data, std::int64_t{heads} * width, width, dtype, 0};
  };
  cairn_kernels_scan call{};
  cairn_kernels_recurrent& args = call.of;
  args.struct_bytes = sizeof(args);
  args.rule = c.rule;
  args.normalize = 1;
  args.sequences = c.sequences;
  args.key_heads = key_heads;
  args.value_heads = kValueHeads;
  args.key_dim = kDim;
  args.value_dim = kDim;
  args.scale = 0.088388F;
  args.tokens = tokens;
  std::vector<std::int32_t> lengths, slots, starts(1, 0), positions;
  for (int n = 0; n <= c.sequences; ++n) {
    lengths.push_back(n * c.tokens);
  }
  for (int n = 0; n < c.sequences; ++n) {
    slots.push_back(n);
    for (int e = 1; n == 0 && e <= c.emissions; ++e) {
      positions.push_back(static_cast<std::int32_t>(std::int64_t{c.tokens} * e / (c.emissions + 1) |
                                                    1));  // Hardly ever a multiple of 64.
    }
    starts.push_back(static_cast<std::int32_t>(positions.size()));
  }
  args.cu_seqlens = arena.Put(lengths);
  args.key =
      rows(arena.Put(Normal(count(key_heads, kDim), random)), key_heads, kDim, CAIRN_KERNELS_BF16);
  args.value = rows(arena.Put(Normal(count(kValueHeads, kDim), random)), kValueHeads, kDim,
                    CAIRN_KERNELS_BF16);
  args.gate = rows(arena.Put(Uniform(count(kValueHeads, gates), -0.1, 0, random)), kValueHeads,
                   gates, CAIRN_KERNELS_F32);
  args.beta = rows(arena.Put(Uniform(count(kValueHeads, 1), 0, 1, random)), kValueHeads, 1,
                   CAIRN_KERNELS_F32);
  if (c.outputs) {
    args.query = rows(arena.Put(Normal(count(key_heads, kDim), random)), key_heads, kDim,
                      CAIRN_KERNELS_BF16);
    args.output =
        rows(arena.Empty(count(kValueHeads, kDim) * 2), kValueHeads, kDim, CAIRN_KERNELS_BF16);
  }
  const std::int64_t state = std::int64_t{kValueHeads} * kDim * kDim;
  args.state = {arena.Empty(static_cast<std::size_t>(c.sequences * state) * 4), state, c.sequences,
                CAIRN_KERNELS_F32};
  args.initial_slots = args.final_slots = arena.Put(slots);
  if (c.emissions > 0) {
    args.emit_starts = arena.Put(starts);
    args.emit_positions = arena.Put(positions);
    args.emissions = c.emissions;
    args.emit = {arena.Empty(static_cast<std::size_t>(c.emissions * state) * 4), state, c.emissions,
                 CAIRN_KERNELS_F32};
  }
  if (c.scan) {
    const cairn_kernels_scan_shape shape = {.rule = c.rule,
                                            .sequences = c.sequences,
                                            .tokens = tokens,
                                            .key_heads = key_heads,
                                            .value_heads = kValueHeads,
                                            .value_dim = kDim,
                                            .emissions = c.emissions,
                                            .outputs = c.outputs ? 1 : 0,
                                            .reserved = 0};
    call.workspace_bytes = cairn_kernels_scan_workspace(&shape);
    call.workspace = arena.Empty(static_cast<std::size_t>(call.workspace_bytes));
  }
  return call;
}

Times Measure(const Case& c, cudaStream_t stream) {
  Arena arena;
  test::Random random(1);
  std::vector<cairn_kernels_scan> calls;
  for (int set = 0; set < kSets; ++set) {
    calls.push_back(MakeCall(c, arena, random));
  }
  return TimeCalls(stream, [&](int set) {
    const cairn_kernels_scan& args = calls[static_cast<std::size_t>(set)];
    Must(c.scan ? cairn_kernels_scan_cuda(&args, stream)
                : cairn_kernels_recurrent_cuda(&args.of, stream));
  });
}

void Run(const char* device, bool json, cudaStream_t stream) {
  // Floors of an H200: bytes at 4.3 TB/s or products at 790 TFLOP/s, whichever takes longer.
  const Case cases[] = {
      {"scan, outputs, 1 x 512", 1, 512, true, true, 0, 3.9},
      {"scan, outputs, 1 x 2048", 1, 2048, true, true, 0, 15.2},
      {"scan, outputs, 1 x 8192", 1, 8192, true, true, 0, 60.7},
      {"scan, outputs, 1 x 8192, 8 emitted", 1, 8192, true, true, 8, 60.7},
      {"scan, states, 1 x 512", 1, 512, true, false, 0, 2.5},
      {"scan, states, 1 x 2048", 1, 2048, true, false, 0, 9.7},
      {"scan, states, 1 x 8192", 1, 8192, true, false, 0, 39.0},
      {"scan, states, 64 x 512", 64, 512, true, false, 0, 158.0},
      {"KDA scan, outputs, 1 x 2048", 1, 2048, true, true, 0, 24.4, CAIRN_KERNELS_KDA},
      {"KDA scan, outputs, 1 x 8192", 1, 8192, true, true, 0, 94.9, CAIRN_KERNELS_KDA},
      {"KDA scan, outputs, 1 x 8192, 8 emitted", 1, 8192, true, true, 8, 94.9, CAIRN_KERNELS_KDA},
      {"KDA scan, states, 1 x 8192", 1, 8192, true, false, 0, 63.6, CAIRN_KERNELS_KDA},
      {"recurrent, states, 1 x 64", 1, 64, false, false, 0, 2.5},
      {"recurrent, outputs, 1 x 64", 1, 64, false, true, 0, 2.5},
      {"recurrent, outputs, 1 x 1", 1, 1, false, true, 0, 1.0},
  };
  if (!json) {
    std::printf("%s; us per layer, graph replay, median\n", device);
    std::printf("%-40s %10s %10s %10s %10s\n", "call", "device", "floor", "ratio", "host");
  }
  const char* separator = "";
  std::printf(json ? "{\"device\":\"%s\",\"calls\":[" : "%.0s", device);
  for (const Case& c : cases) {
    const Times times = Measure(c, stream);
    std::printf(json ? "%s{\"name\":\"%s\",\"device_us\":%.2f,\"floor_us\":%.2f,\"ratio\":%.2f,"
                       "\"host_us\":%.2f}"
                     : "%s%-40s %10.2f %10.2f %10.2f %10.2f\n",
                separator, c.name.c_str(), times.device_us, c.floor_us,
                times.device_us / c.floor_us, times.host_us);
    separator = json ? "," : "";
  }
  std::printf(json ? "]}\n" : "");
}

}  // namespace
}  // namespace cairn::kernels::bench

int main(int argc, char** argv) {
  return cairn::kernels::bench::OnDevice("kernels_gpu_bench", argc, argv,
                                         cairn::kernels::bench::Run);
}

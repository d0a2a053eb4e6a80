// The recurrent advance on one core: time per token and layer, GFLOP/s, and what the machine could
// do.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/arith/elements.h"
#include "kernels/bench/timing.h"
#include "kernels/cairn_kernels.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::bench {
namespace {

struct Shape {
  const char* name;
  int rule;
  int key_heads, value_heads, key_dim, value_dim;
};
// Heads of Qwen3-Next and Qwen3.5, Kimi Linear, and a Mamba-2 of 64 x 128.
constexpr Shape kShapes[] = {
    {"gated_delta", CAIRN_KERNELS_GATED_DELTA, 16, 32, 128, 128},
    {"kda", CAIRN_KERNELS_KDA, 32, 32, 128, 128},
    {"gla", CAIRN_KERNELS_GLA, 32, 32, 128, 128},
    {"ssd", CAIRN_KERNELS_SSD, 8, 64, 128, 64},
    {"lightning", CAIRN_KERNELS_LIGHTNING, 32, 32, 128, 128},
};

std::vector<Bf16> RandomBf16(std::int64_t count, test::Random& random) {
  std::vector<Bf16> values(static_cast<std::size_t>(count));
  for (Bf16& value : values) {
    value.bits = Bf16Bits(static_cast<float>(random.Normal()));
  }
  return values;
}

/// Floating-point operations of one token: a decay, a product and a sum for the state, and a
/// product and a sum for what is recalled (the five of notes: 5 K V), and two more for outputs.
double Flop(const Shape& shape, bool outputs) {
  const bool delta = shape.rule == CAIRN_KERNELS_GATED_DELTA || shape.rule == CAIRN_KERNELS_KDA;
  return (3.0 + (delta ? 2.0 : 0.0) + (outputs ? 2.0 : 0.0)) * shape.key_dim * shape.value_dim *
         shape.value_heads;
}

double Seconds(const Shape& shape, int tokens, bool outputs) {
  test::Random random(1);
  const bool channel = shape.rule == CAIRN_KERNELS_KDA || shape.rule == CAIRN_KERNELS_GLA;
  auto key = RandomBf16(std::int64_t{tokens} * shape.key_heads * shape.key_dim, random);
  auto query = RandomBf16(std::int64_t{tokens} * shape.key_heads * shape.key_dim, random);
  auto value = RandomBf16(std::int64_t{tokens} * shape.value_heads * shape.value_dim, random);
  auto out = value;
  const int gate_width = channel ? shape.key_dim : 1;
  std::vector<float> gate(static_cast<std::size_t>(tokens * shape.value_heads * gate_width));
  std::vector<float> beta(static_cast<std::size_t>(tokens * shape.value_heads));
  for (float& g : gate) {
    g = static_cast<float>(-0.1 * random.Uniform());
  }
  for (float& b : beta) {
    b = static_cast<float>(random.Uniform());
  }
  const std::int64_t state_elements =
      std::int64_t{shape.value_heads} * shape.value_dim * shape.key_dim;
  std::vector<float> state(static_cast<std::size_t>(state_elements));
  const std::int32_t lengths[] = {0, tokens};
  const std::int32_t slot[] = {0};
  const auto rows = [](void* data, int heads, int width, int dtype) {
    return cairn_kernels_rows{.data = data,
                              .token_stride = std::int64_t{heads} * width,
                              .head_stride = width,
                              .dtype = dtype,
                              .reserved = 0};
  };
  cairn_kernels_recurrent args{};
  args.struct_bytes = sizeof(args);
  args.rule = shape.rule;
  args.normalize = 1;
  args.sequences = 1;
  args.key_heads = shape.key_heads;
  args.value_heads = shape.value_heads;
  args.key_dim = shape.key_dim;
  args.value_dim = shape.value_dim;
  args.scale = 1.0F / std::sqrt(static_cast<float>(shape.key_dim));
  args.tokens = tokens;
  args.cu_seqlens = lengths;
  args.key = rows(key.data(), shape.key_heads, shape.key_dim, CAIRN_KERNELS_BF16);
  args.value = rows(value.data(), shape.value_heads, shape.value_dim, CAIRN_KERNELS_BF16);
  if (outputs) {
    args.query = rows(query.data(), shape.key_heads, shape.key_dim, CAIRN_KERNELS_BF16);
    args.output = rows(out.data(), shape.value_heads, shape.value_dim, CAIRN_KERNELS_BF16);
  }
  args.gate = rows(gate.data(), shape.value_heads, gate_width, CAIRN_KERNELS_F32);
  args.beta = rows(beta.data(), shape.value_heads, 1, CAIRN_KERNELS_F32);
  args.state = {state.data(), state_elements, 1, CAIRN_KERNELS_F32};
  args.initial_slots = slot;
  args.final_slots = slot;
  return MedianSeconds([&] {
    if (cairn_kernels_recurrent_cpu(&args, 0, 1) != CAIRN_KERNELS_OK) {
      std::abort();
    }
  });
}

int Main(bool json, const std::string& only) {
  const char* path = cairn_kernels_cpu_path();
  if (!json) {
    std::printf("path %s; one core, CPU time, median; 64 tokens, bf16 inputs, fp32 state\n", path);
    std::printf("%-12s %-8s %14s %12s\n", "rule", "outputs", "us/token-layer", "GFLOP/s");
  }
  const char* comma = "{\"cpu_path\":\"%s\",\"recurrent\":[";
  for (const Shape& shape : kShapes) {
    if (!only.empty() && only != shape.name) {
      continue;
    }
    for (const bool outputs : {false, true}) {
      constexpr int kTokens = 64;
      const double seconds = Seconds(shape, kTokens, outputs) / kTokens;
      const double gflops = Flop(shape, outputs) / seconds * 1e-9;
      if (json) {
        std::printf(comma, path);
        std::printf("{\"rule\":\"%s\",\"outputs\":%s,\"us_per_token_layer\":%.3f,\"gflops\":%.1f}",
                    shape.name, outputs ? "true" : "false", seconds * 1e6, gflops);
        comma = ",";
      } else {
        std::printf("%-12s %-8s %14.2f %12.1f\n", shape.name, outputs ? "yes" : "no", seconds * 1e6,
                    gflops);
      }
    }
  }
  if (json) {
    std::printf("]}\n");
  }
  return 0;
}

}  // namespace
}  // namespace cairn::kernels::bench

int main(int argc, char** argv) {
  bool json = false;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else {
      std::fprintf(stderr, "usage: kernels_recurrent_bench [--json] [--only RULE]\n");
      return 2;
    }
  }
  return cairn::kernels::bench::Main(json, only);
}

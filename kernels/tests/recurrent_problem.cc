#include "kernels/tests/recurrent_problem.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/arith/elements.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::size_t ElementBytes(int dtype) { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }

void PutElement(Bytes& bytes, std::size_t index, int dtype, double value) {
  const auto as_float = static_cast<float>(value);
  const std::uint16_t half = dtype == CAIRN_KERNELS_BF16 ? Bf16Bits(as_float) : F16Bits(as_float);
  const std::size_t width = ElementBytes(dtype);
  std::memcpy(bytes.data() + index * width,
              width == 4 ? static_cast<const void*>(&as_float) : &half, width);
}
double GetElement(const Bytes& bytes, std::size_t index, int dtype) {
  if (dtype == CAIRN_KERNELS_F32) {
    float value = 0;
    std::memcpy(&value, bytes.data() + index * 4, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes.data() + index * 2, 2);
  return dtype == CAIRN_KERNELS_BF16 ? ToFloat(Bf16{bits}) : ToFloat(F16{bits});
}

enum class Kind : std::uint64_t { kKey = 1, kQuery, kValue, kGate, kBeta };

/// The gate of a channel, or of a head as if it were channel 2.
double MixedGate(std::size_t channel, Random& random) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kAny[] = {0, -0.01, -1, -20, -90, -200, -1e30, -kInfinity};
  const double some = -0.1 * random.Uniform();
  const int one = random.Below(16);
  switch (channel % 4) {
    case 0: return some;
    case 1: return 0;
    case 2: return one == 0 ? -kInfinity : some;
    default: return kAny[one / 2];
  }
}

/// One row of one head, by what it is and nothing else.
std::vector<double> RowOf(const RecurrentProblem& p, const Sequence& s, Kind kind, int token,
                          int head) {
  Random random(s.seed * 1'000'003U + static_cast<std::uint64_t>(kind) * 10'007U +
                static_cast<std::uint64_t>(s.from + token) * 101U +
                static_cast<std::uint64_t>(head));
  const bool channel = p.rule == CAIRN_KERNELS_KDA || p.rule == CAIRN_KERNELS_GLA;
  std::size_t width = 1;
  if (kind == Kind::kKey || kind == Kind::kQuery || (kind == Kind::kGate && channel)) {
    width = Size(p.key_dim);
  } else if (kind == Kind::kValue) {
    width = Size(p.value_dim);
  }
  std::vector<double> row(width);
  // Keys that are not normalised are short, or the delta rule would blow the state up.
  const double key_scale = p.normalize ? 1.0 : 1.0 / std::sqrt(p.key_dim);
  for (std::size_t i = 0; i < width; ++i) {
    double& x = row[i];
    switch (kind) {
      case Kind::kKey:
      case Kind::kQuery: x = key_scale * random.Normal(); break;
      case Kind::kValue: x = random.Normal(); break;
      case Kind::kBeta: x = random.Uniform(); break;
      case Kind::kGate:
        x = -0.1 * random.Uniform() * p.gate_scale;
        if (p.mixed_gates) {
          x = MixedGate(channel ? i : 2, random);
        } else if (p.gate_scale == 0) {
          x = 0;
        } else if (std::isinf(p.gate_scale)) {
          x = -std::numeric_limits<double>::infinity();
        }
        x = p.gate_kind == CAIRN_KERNELS_GATE_LOG ? x : std::exp(x);
        break;
    }
  }
  return row;
}

/// All rows of a kind, in the layout of the call, with NaNs between them.
struct Tensor {
  Bytes bytes;
  cairn_kernels_rows rows{};
};
Tensor Rows(const RecurrentProblem& p, Kind kind, int heads, int width, int dtype) {
  int tokens = 0;
  for (const Sequence& s : p.sequences) {
    tokens += s.length;
  }
  Tensor tensor;
  tensor.rows.head_stride = width + p.padding;
  tensor.rows.dtype = dtype;
  tensor.rows.token_stride = heads * tensor.rows.head_stride;
  tensor.bytes.resize(Size(tokens * tensor.rows.token_stride) * ElementBytes(dtype),
                      std::byte{0xFF});
  int at = 0;
  for (const Sequence& s : p.sequences) {
    for (int t = 0; t < s.length; ++t, ++at) {
      for (int h = 0; h < heads; ++h) {
        const auto row = RowOf(p, s, kind, t, h);
        const auto first = Size(at * tensor.rows.token_stride + h * tensor.rows.head_stride);
        for (std::size_t i = 0; i < row.size(); ++i) {
          PutElement(tensor.bytes, first + i, dtype, row[i]);
        }
      }
    }
  }
  return tensor;
}

float SkipOf(int head) { return 0.5F + static_cast<float>(head); }

}  // namespace

RecurrentResult Run(const RecurrentProblem& p, Backend& backend) {
  const bool channel = p.rule == CAIRN_KERNELS_KDA || p.rule == CAIRN_KERNELS_GLA;
  const auto put = [&](const Tensor& tensor) {
    cairn_kernels_rows rows = tensor.rows;
    rows.data = backend.Put(tensor.bytes);
    return rows;
  };
  cairn_kernels_recurrent args{};
  args.struct_bytes = sizeof(args);
  args.rule = p.rule;
  args.gate_kind = p.gate_kind;
  args.normalize = p.normalize ? 1 : 0;
  args.sequences = static_cast<std::int32_t>(p.sequences.size());
  args.key_heads = p.key_heads;
  args.value_heads = p.value_heads;
  args.key_dim = p.key_dim;
  args.value_dim = p.value_dim;
  args.scale = 1.0F / std::sqrt(static_cast<float>(p.key_dim));
  args.key = put(Rows(p, Kind::kKey, p.key_heads, p.key_dim, p.dtype));
  args.value = put(Rows(p, Kind::kValue, p.value_heads, p.value_dim, p.dtype));
  args.gate = put(Rows(p, Kind::kGate, p.value_heads, channel ? p.key_dim : 1, CAIRN_KERNELS_F32));
  args.beta = put(Rows(p, Kind::kBeta, p.value_heads, 1, CAIRN_KERNELS_F32));

  std::vector<std::int32_t> lengths = {0};
  std::vector<std::int32_t> starts = {0};
  std::vector<std::int32_t> positions;
  for (const Sequence& s : p.sequences) {
    lengths.push_back(lengths.back() + s.length);
    positions.insert(positions.end(), s.emit.begin(), s.emit.end());
    starts.push_back(static_cast<std::int32_t>(positions.size()));
  }
  args.tokens = lengths.back();
  args.cu_seqlens = backend.Put(lengths);
  const std::int64_t out_head = p.value_dim + p.padding;
  Bytes out(Size(args.tokens * p.value_heads * out_head) * ElementBytes(p.output_dtype),
            std::byte{0xFF});
  if (p.outputs) {
    args.query = put(Rows(p, Kind::kQuery, p.key_heads, p.key_dim, p.dtype));
    args.output = {.data = backend.Put(out),
                   .token_stride = p.value_heads * out_head,
                   .head_stride = out_head,
                   .dtype = p.output_dtype,
                   .reserved = 0};
    if (out.empty()) {  // No tokens; the call must not mind where nothing goes.
      args.output.data = backend.Put(nullptr, 4);
    }
  }
  if (p.skip) {
    std::vector<float> skip;
    for (int h = 0; h < p.value_heads; ++h) {
      skip.push_back(SkipOf(h));
    }
    args.skip = backend.Put(skip);
  }

  // Sequence n lives in slot 2 n + 1, in place; the slots between belong to nobody.
  const std::int64_t state = std::int64_t{p.value_heads} * p.value_dim * p.key_dim;
  const std::int64_t stride = state + p.padding;
  const auto slots = static_cast<std::int32_t>(2 * p.sequences.size() + 1);
  Bytes pool(Size(slots * stride) * 4, std::byte{0xFF});
  std::vector<std::int32_t> initial;
  std::vector<std::int32_t> final;
  for (std::size_t n = 0; n < p.sequences.size(); ++n) {
    const auto slot = static_cast<std::int32_t>(2 * n + 1);
    const Bytes& from = p.sequences[n].initial;
    std::copy(from.begin(), from.end(),
              pool.begin() + static_cast<std::ptrdiff_t>(slot * stride * 4));
    initial.push_back(from.empty() ? -1 : slot);
    final.push_back(p.finals ? slot : -1);
  }
  args.state = {backend.Put(pool), stride, slots, CAIRN_KERNELS_F32};
  args.initial_slots = backend.Put(initial);
  args.final_slots = backend.Put(final);
  // Emissions in reverse order of slots, one slot apart.
  const auto emissions = static_cast<std::int32_t>(positions.size());
  const std::size_t emit_width = ElementBytes(p.emit_dtype);
  Bytes emit_pool(Size(2 * emissions * stride) * emit_width, std::byte{0xFF});
  std::vector<std::int32_t> emit_slots;
  for (std::int32_t e = 0; e < emissions; ++e) {
    emit_slots.push_back(2 * (emissions - 1 - e));
  }
  if (emissions > 0) {
    args.emit_starts = backend.Put(starts);
    args.emit_positions = backend.Put(positions);
    args.emit_slots = backend.Put(emit_slots);
    args.emit = {backend.Put(emit_pool), stride, 2 * emissions, p.emit_dtype};
    args.emissions = emissions;
  }

  if (p.change) {
    p.change(args, backend);
  }
  RecurrentResult result;
  if (p.scan) {
    std::vector<std::int32_t> first;
    for (const Sequence& s : p.sequences) {
      first.push_back(s.from);
    }
    cairn_kernels_scan scan{};
    scan.of = args;
    scan.first_position = backend.Put(first);
    if (p.change_scan) {
      p.change_scan(scan, backend);
    }
    result.status = backend.Scan(scan);
  } else {
    result.status = backend.Recurrent(args);
  }
  if (!out.empty() && p.outputs) {
    backend.Get(out, args.output.data);
  }
  backend.Get(pool, args.state.data);
  if (emissions > 0) {
    backend.Get(emit_pool, args.emit.data);
  }

  const auto cut = [&](const Bytes& all, std::int64_t first, std::int64_t count, std::size_t width,
                       std::int64_t gap) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(Size(first) * width);
    const auto end = begin + static_cast<std::ptrdiff_t>(Size(count) * width);
    for (auto it = end; it < end + static_cast<std::ptrdiff_t>(Size(gap) * width); ++it) {
      result.padding_kept = result.padding_kept && *it == std::byte{0xFF};
    }
    return Bytes(begin, end);
  };
  for (std::size_t n = 0; n < p.sequences.size(); ++n) {
    Bytes rows;
    for (std::int64_t t = lengths[n]; p.outputs && t < lengths[n + 1]; ++t) {
      for (int h = 0; h < p.value_heads; ++h) {
        const Bytes row = cut(out, (t * p.value_heads + h) * out_head, p.value_dim,
                              ElementBytes(p.output_dtype), p.padding);
        rows.insert(rows.end(), row.begin(), row.end());
      }
    }
    result.outputs.push_back(rows);
    const auto slot = static_cast<std::int64_t>(2 * n + 1);
    cut(pool, slot * stride - stride, 0, 4, stride);  // The slot before stays as it was.
    result.finals.push_back(cut(pool, slot * stride, state, 4, p.padding));
    auto& emitted = result.emitted.emplace_back();
    for (std::int32_t e = starts[n]; e < starts[n + 1]; ++e) {
      const std::int64_t at = emit_slots[Size(e)] * stride;
      emitted.push_back(cut(emit_pool, at, state, emit_width, p.padding + stride));
    }
  }
  return result;
}

OracleResult OracleOf(const RecurrentProblem& p, const Sequence& s, int head) {
  OracleInput in;
  in.key_dim = p.key_dim;
  in.value_dim = p.value_dim;
  in.delta = p.rule == CAIRN_KERNELS_GATED_DELTA || p.rule == CAIRN_KERNELS_KDA;
  in.channel = p.rule == CAIRN_KERNELS_KDA || p.rule == CAIRN_KERNELS_GLA;
  in.normalize = p.normalize;
  in.scale = 1.0F / std::sqrt(static_cast<float>(p.key_dim));
  in.skip = p.skip ? SkipOf(head) : 0;
  const int key_head = head / (p.value_heads / p.key_heads);
  const auto append = [&](std::vector<double>& to, Kind kind, int at_head, int t, int dtype) {
    for (const double x : RowOf(p, s, kind, t, at_head)) {
      Bytes one(4);
      PutElement(one, 0, dtype, x);
      to.push_back(GetElement(one, 0, dtype));
    }
  };
  for (int t = 0; t < s.length; ++t) {
    append(in.key, Kind::kKey, key_head, t, p.dtype);
    append(in.query, Kind::kQuery, key_head, t, p.dtype);
    append(in.value, Kind::kValue, head, t, p.dtype);
    append(in.decay, Kind::kGate, head, t, CAIRN_KERNELS_F32);
    append(in.beta, Kind::kBeta, head, t, CAIRN_KERNELS_F32);
  }
  if (p.gate_kind == CAIRN_KERNELS_GATE_LOG) {
    for (double& g : in.decay) {
      g = std::exp(g);
    }
  }
  const auto elements = Size(p.value_dim) * Size(p.key_dim);
  in.state.resize(elements);
  for (std::size_t i = 0; i < elements && !s.initial.empty(); ++i) {
    in.state[i] = GetElement(s.initial, Size(head) * elements + i, CAIRN_KERNELS_F32);
  }
  return Oracle(in);
}

double RelativeError(const Bytes& f32, std::size_t first, const std::vector<double>& exact) {
  double difference = 0;
  double length = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double d = GetElement(f32, first + i, CAIRN_KERNELS_F32) - exact[i];
    difference += d * d;
    length += exact[i] * exact[i];
  }
  return length == 0 ? std::sqrt(difference) : std::sqrt(difference / length);
}

}  // namespace cairn::kernels::test

// Conv windows against a list of all inputs, everywhere, with what lies between them untouched.
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/tests/backend.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

struct ConvSequenceCase {
  int length = 0;
  std::vector<std::int32_t> emit{};
  int initial = -1;
  int final = -1;
};

struct ConvProblem {
  int width = 4;
  int dim = 70;
  int dtype = CAIRN_KERNELS_BF16;
  bool channel_last = false;
  int padding = 0;  ///< Elements between rows, between channels and between slots.
  int slots = 8;
  std::vector<ConvSequenceCase> sequences{};
  std::function<void(cairn_kernels_conv&, Backend&)> change{};

  std::size_t element() const { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }
  int tokens() const {
    int all = 0;
    for (const auto& s : sequences) {
      all += s.length;
    }
    return all;
  }
  int emissions() const {
    std::size_t all = 0;
    for (const auto& s : sequences) {
      all += s.emit.size();
    }
    return static_cast<int>(all);
  }
  std::int64_t row_stride() const { return channel_last ? dim + padding : 1; }
  std::int64_t dim_stride() const { return channel_last ? 1 : width - 1 + padding; }
  std::int64_t slot_stride() const {
    return (channel_last ? row_stride() * (width - 1) : dim_stride() * dim) + padding;
  }
};

struct ConvResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  Bytes window, emit;
};

Bytes RandomBytes(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes bytes(size);
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random.Next());
  }
  return bytes;
}

Bytes RowsOf(const ConvProblem& p) {
  return RandomBytes(Size(p.tokens() * (p.dim + p.padding)) * p.element(), 1);
}
Bytes WindowsOf(const ConvProblem& p) {
  return RandomBytes(Size(p.slots * p.slot_stride()) * p.element(), 2);
}
Bytes EmitOf(const ConvProblem& p) {
  return RandomBytes(Size((p.emissions() + 1) * p.slot_stride()) * p.element(), 3);
}

ConvResult Run(const ConvProblem& p, Backend& backend) {
  cairn_kernels_conv args{};
  args.struct_bytes = sizeof(args);
  args.width = p.width;
  args.dim = p.dim;
  args.sequences = static_cast<std::int32_t>(p.sequences.size());
  args.tokens = p.tokens();
  std::vector<std::int32_t> lengths = {0}, starts = {0}, positions, slots, initial, final;
  for (const auto& s : p.sequences) {
    lengths.push_back(lengths.back() + s.length);
    positions.insert(positions.end(), s.emit.begin(), s.emit.end());
    starts.push_back(static_cast<std::int32_t>(positions.size()));
    initial.push_back(s.initial);
    final.push_back(s.final);
  }
  for (int e = 0; e < p.emissions(); ++e) {  // In reverse.
    slots.push_back(p.emissions() - 1 - e);
  }
  args.cu_seqlens = backend.Put(lengths);
  args.rows = {backend.Put(RowsOf(p)), p.dim + p.padding, 0, p.dtype, 0};
  ConvResult result{CAIRN_KERNELS_OK, WindowsOf(p), EmitOf(p)};
  args.window = {backend.Put(result.window),
                 p.slot_stride(),
                 p.dim_stride(),
                 p.row_stride(),
                 p.slots,
                 p.dtype};
  args.initial_slots = backend.Put(initial);
  args.final_slots = backend.Put(final);
  args.emit = {backend.Put(result.emit), p.slot_stride(),   p.dim_stride(),
               p.row_stride(),           p.emissions() + 1, p.dtype};
  args.emit_starts = backend.Put(starts);
  args.emit_positions = backend.Put(positions);
  args.emit_slots = backend.Put(slots);
  args.emissions = p.emissions();
  const void* window = args.window.data;
  const void* emit = args.emit.data;
  if (p.change) {
    p.change(args, backend);
  }
  result.status = backend.Conv(args);
  backend.Get(result.window, window);
  backend.Get(result.emit, emit);
  return result;
}

/// The same from a list of all inputs of each channel: the initial window's, then the rows'.
ConvResult Expected(const ConvProblem& p) {
  const Bytes rows = RowsOf(p);
  const Bytes before = WindowsOf(p);
  ConvResult result{CAIRN_KERNELS_OK, before, EmitOf(p)};
  const std::size_t w = p.element();
  const auto at = [&](int slot, int channel, int row) {
    return Size(slot * p.slot_stride() + channel * p.dim_stride() + row * p.row_stride()) * w;
  };
  int begin = 0;
  int emitted = 0;
  for (const auto& s : p.sequences) {
    for (int c = 0; c < p.dim; ++c) {
      std::vector<Bytes> inputs;
      for (int row = 0; row < p.width - 1; ++row) {
        const std::byte* from = before.data() + at(s.initial < 0 ? 0 : s.initial, c, row);
        inputs.push_back(s.initial < 0 ? Bytes(w) : Bytes(from, from + w));
      }
      for (int t = begin; t < begin + s.length; ++t) {
        const std::byte* from = rows.data() + Size(t * (p.dim + p.padding) + c) * w;
        inputs.emplace_back(from, from + w);
      }
      const auto put = [&](Bytes& to, int slot, int position) {
        for (int row = 0; row < p.width - 1; ++row) {
          std::memcpy(to.data() + at(slot, c, row), inputs[Size(position + row)].data(), w);
        }
      };
      for (std::size_t e = 0; e < s.emit.size(); ++e) {
        put(result.emit, p.emissions() - 1 - emitted - static_cast<int>(e), s.emit[e]);
      }
      if (s.final >= 0) {
        put(result.window, s.final, s.length);
      }
    }
    begin += s.length;
    emitted += static_cast<int>(s.emit.size());
  }
  return result;
}

void AsExpected(const ConvProblem& p) {
  const ConvResult expected = Expected(p);
  const std::string before = context;
  for (const auto& backend : Backends()) {
    context = before + " on " + backend->name();
    const ConvResult result = Run(p, *backend);
    CHECK_EQ(result.status, CAIRN_KERNELS_OK);
    CHECK(result.window == expected.window);
    CHECK(result.emit == expected.emit);
  }
  context = before;
}

ConvProblem Sound() {
  ConvProblem p;
  p.sequences = {{.length = 5, .emit = {0, 1, 2, 3, 4, 5}, .initial = 1, .final = 1},
                 {.length = 0, .emit = {0}, .initial = 3, .final = 4},
                 {.length = 2, .emit = {1, 2}, .initial = -1, .final = 5},
                 {.length = 40, .emit = {7, 39}, .initial = 6, .final = -1}};
  return p;
}

CASE(EveryWidthAndType) {
  for (int width = 2; width <= 8; ++width) {
    for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16}) {
      for (const bool channel_last : {false, true}) {
        context = "W " + std::to_string(width) + ", dtype " + std::to_string(dtype);
        ConvProblem p = Sound();
        p.width = width;
        p.dtype = dtype;
        p.channel_last = channel_last;
        p.padding = width % 3;
        AsExpected(p);
      }
    }
  }
}

CASE(DimsAndLengthsAtTheEdges) {
  for (const int dim : {1, 63, 64, 65, 200}) {
    for (const int length : {0, 1, 2, 3, 4, 63, 64, 65}) {
      context = std::to_string(dim) + " channels, length " + std::to_string(length);
      ConvProblem p;
      p.dim = dim;
      p.sequences = {{.length = length, .emit = {0}, .initial = 2, .final = 2},
                     {.length = 1, .emit = {}, .initial = 3, .final = 0}};
      if (length > 0) {
        p.sequences[0].emit.push_back(length);
      }
      AsExpected(p);
    }
  }
}

// One row at a time in place is the same as all at once.
CASE(UpdateRowByRow) {
  for (const auto& backend : Backends()) {
    context = backend->name();
    ConvProblem p;
    p.sequences = {{.length = 9, .emit = {}, .initial = 2, .final = 2}};
    const Bytes whole = Run(p, *backend).window;
    Bytes window = WindowsOf(p);
    const Bytes rows = RowsOf(p);
    for (int t = 0; t < 9; ++t) {
      ConvProblem one;
      one.sequences = {{.length = 1, .emit = {}, .initial = 2, .final = 2}};
      Bytes after = window;
      const void* at = nullptr;
      one.change = [&](cairn_kernels_conv& args, Backend& b) {
        const auto begin = rows.begin() + t * 70 * 2;
        args.rows.data = b.Put(Bytes(begin, begin + 140));
        args.window.data = b.Put(window);
        at = args.window.data;
      };
      CHECK_EQ(Run(one, *backend).status, CAIRN_KERNELS_OK);
      backend->Get(after, at);
      window = after;
    }
    CHECK(window == whole);
  }
}

CASE(OptionalLists) {
  for (const auto& backend : Backends()) {
    context = backend->name();
    ConvProblem p = Sound();
    const ConvResult expected = Expected(p);
    p.change = [](cairn_kernels_conv& args, Backend&) { args.emit_starts = nullptr; };
    CHECK(Run(p, *backend).window == expected.window);
    CHECK(Run(p, *backend).emit == EmitOf(p));
    p.change = [](cairn_kernels_conv& args, Backend&) { args.final_slots = nullptr; };
    CHECK(Run(p, *backend).window == WindowsOf(p));
    CHECK(Run(p, *backend).emit == expected.emit);
  }
}

CASE(AnyOrderOfThreads) {
  const ConvResult expected = Expected(Sound());
  for (const unsigned seed : {1U, 2U, 3U}) {
    CHECK(Run(Sound(), *Emulated(seed)).window == expected.window);
  }
}

void Refused(const char* what, cairn_kernels_status code, bool whole,
             const std::function<void(cairn_kernels_conv&, Backend&)>& change) {
  for (const auto& backend : Backends()) {
    context = std::string(what) + " on " + backend->name();
    ConvProblem p = Sound();
    p.change = change;
    const ConvResult result = Run(p, *backend);
    CHECK_EQ(result.status, code);
    if (whole || std::strcmp(backend->name(), "cpu") == 0) {
      CHECK(result.window == WindowsOf(p));
      CHECK(result.emit == EmitOf(p));
    }
  }
}

CASE(BadArguments) {
  using Args = cairn_kernels_conv;
  CHECK_EQ(cairn_kernels_conv_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(Args&)> change;
  };
  const auto shift = [](void*& pointer) { pointer = static_cast<char*>(pointer) + 1; };
  const Case cases[] = {
      {"version", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.struct_bytes += 8; }},
      {"reserved", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.reserved = 1; }},
      {"lengths", CAIRN_KERNELS_NULL, [](Args& a) { a.cu_seqlens = nullptr; }},
      {"rows", CAIRN_KERNELS_NULL, [](Args& a) { a.rows.data = nullptr; }},
      {"windows", CAIRN_KERNELS_NULL, [](Args& a) { a.window.data = nullptr; }},
      {"emission", CAIRN_KERNELS_NULL, [](Args& a) { a.emit.data = nullptr; }},
      {"positions", CAIRN_KERNELS_NULL, [](Args& a) { a.emit_positions = nullptr; }},
      {"W of 1", CAIRN_KERNELS_SHAPE, [](Args& a) { a.width = 1; }},
      {"W of 9", CAIRN_KERNELS_SHAPE, [](Args& a) { a.width = 9; }},
      {"dim", CAIRN_KERNELS_SHAPE, [](Args& a) { a.dim = 0; }},
      {"sequences", CAIRN_KERNELS_SHAPE, [](Args& a) { a.sequences = -1; }},
      {"emissions", CAIRN_KERNELS_SHAPE, [](Args& a) { a.emissions = -1; }},
      {"tokens", CAIRN_KERNELS_SHAPE, [](Args& a) { a.tokens = std::int64_t{1} << 31; }},
      {"token stride", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rows.token_stride = -1; }},
      {"no slots", CAIRN_KERNELS_SHAPE, [](Args& a) { a.window.slots = 0; }},
      {"overlap", CAIRN_KERNELS_SHAPE, [](Args& a) { a.window.dim_stride = 2; }},
      {"slots overlap", CAIRN_KERNELS_SHAPE, [](Args& a) { a.emit.slot_stride -= 1; }},
      {"endless", CAIRN_KERNELS_SHAPE,
       [](Args& a) { a.emit.dim_stride = std::numeric_limits<std::int64_t>::max(); }},
      {"rows' type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.rows.dtype = 3; }},
      {"window's type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.window.dtype = CAIRN_KERNELS_F16; }},
      {"emission's type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.emit.dtype = CAIRN_KERNELS_F32; }},
      {"rows' address", CAIRN_KERNELS_ALIGNMENT, [&](Args& a) { shift(a.rows.data); }},
      {"windows' address", CAIRN_KERNELS_ALIGNMENT, [&](Args& a) { shift(a.window.data); }}};
  for (const Case& each : cases) {
    Refused(each.what, each.code, true, [&](Args& args, Backend&) { each.change(args); });
  }
}

CASE(BadLists) {
  using Args = cairn_kernels_conv;
  const auto list = [](const char* what, cairn_kernels_status code, const std::int32_t* Args::*at,
                       std::vector<std::int32_t> values) {
    Refused(what, code, false,
            [&](Args& args, Backend& backend) { args.*at = backend.Put(values); });
  };
  list("falling", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, 5, 4, 7, 47});
  list("too long", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, 5, 5, 7, 48});
  list("negative", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, -1, 5, 7, 47});
  const std::vector<std::int32_t> good = {0, 1, 2, 3, 4, 5, 0, 1, 2, 7, 39};
  const auto position = [&](std::size_t at, std::int32_t value) {
    std::vector<std::int32_t> wrong = good;
    wrong[at] = value;
    list("positions", CAIRN_KERNELS_POSITIONS, &Args::emit_positions, wrong);
  };
  position(1, 0);  // Twice the same.
  position(2, 0);  // Falling.
  position(0, -1);
  position(6, 1);  // Past a length of 0.
  position(10, 41);
  position(10, kMost);
  list("starts", CAIRN_KERNELS_POSITIONS, &Args::emit_starts, {0, 6, 7, 9, 12});
  list("starts", CAIRN_KERNELS_POSITIONS, &Args::emit_starts, {0, 6, 5, 9, 11});
  for (const std::int32_t slot : {-2, 8, kMost}) {
    list("initial", CAIRN_KERNELS_SLOTS, &Args::initial_slots, {1, 3, -1, slot});
    list("final", CAIRN_KERNELS_SLOTS, &Args::final_slots, {slot, 4, 5, -1});
  }
  list("emission", CAIRN_KERNELS_SLOTS, &Args::emit_slots, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12});
  list("emission", CAIRN_KERNELS_SLOTS, &Args::emit_slots, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1});
  ConvProblem p = Sound();
  p.sequences[1].final = 5;  // Two that write one slot.
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
  p.sequences[1].final = 6;  // One that reads what another writes.
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
}

// Rows and slots further apart than 2^31 elements.
CASE(OffsetsPast32Bits) {
  constexpr std::int64_t kApart = (std::int64_t{1} << 31) + 64;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kApart) * 5 * 2;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("NOT TESTED: this machine does not lend 20 GiB of addresses\n");
    return;
  }
  auto* const all = static_cast<std::uint16_t*>(memory);
  ConvProblem p;
  p.sequences = {{.length = 4, .emit = {}, .initial = -1, .final = 1}};
  for (const auto& backend : {Cpu(), Emulated()}) {
    for (int t = 0; t < 4; ++t) {
      for (int c = 0; c < 70; ++c) {
        all[t * kApart + c] = static_cast<std::uint16_t>(100 * t + c);
      }
    }
    p.change = [&](cairn_kernels_conv& args, Backend&) {
      args.rows = {all, kApart, 0, CAIRN_KERNELS_BF16, 0};
      args.window = {all + 1024, kApart, 3, 1, 2, CAIRN_KERNELS_BF16};
    };
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    for (int i = 0; i < 70 * 3; ++i) {
      CHECK_EQ(all[kApart + 1024 + i], 100 * (i % 3 + 1) + i / 3);
      all[kApart + 1024 + i] = 0;
    }
  }
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace cairn::kernels::test

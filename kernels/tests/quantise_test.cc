// Codecs with fewer bits: the same payload and the same values from the CPU and a device, near what
// was put in, whatever that is.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/arith/elements.h"
#include "kernels/quantise/layout.h"
#include "kernels/tests/backend.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

using Bytes = std::vector<std::byte>;

struct Shape {
  int matrices, rows, columns;
};
struct QuantiseProblem {
  int codec = CAIRN_KERNELS_INT8_COLUMN;
  int dtype = CAIRN_KERNELS_F32;
  Shape shape = {2, 40, 48};
  int max_blocks = 0;
  std::function<double(Random&, std::size_t)> value = [](Random& random, std::size_t) {
    return random.Normal();
  };

  std::size_t elements() const {
    return static_cast<std::size_t>(shape.matrices) * static_cast<std::size_t>(shape.rows) *
           static_cast<std::size_t>(shape.columns);
  }
  std::size_t element() const { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }
};

Bytes ValuesOf(const QuantiseProblem& p) {
  Random random(11);
  Bytes bytes(p.elements() * p.element());
  for (std::size_t i = 0; i < p.elements(); ++i) {
    const auto x = static_cast<float>(p.value(random, i));
    const std::uint16_t half = p.dtype == CAIRN_KERNELS_BF16 ? Bf16Bits(x) : F16Bits(x);
    p.element() == 4 ? std::memcpy(&bytes[4 * i], &x, 4) : std::memcpy(&bytes[2 * i], &half, 2);
  }
  return bytes;
}
std::vector<float> Floats(int dtype, const Bytes& bytes) {
  std::vector<float> values(bytes.size() / (dtype == CAIRN_KERNELS_F32 ? 4 : 2));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t half = 0;
    if (dtype == CAIRN_KERNELS_F32) {
      std::memcpy(&values[i], &bytes[4 * i], 4);
    } else {
      std::memcpy(&half, &bytes[2 * i], 2);
      values[i] = dtype == CAIRN_KERNELS_BF16 ? ToFloat(Bf16{half}) : ToFloat(F16{half});
    }
  }
  return values;
}

cairn_kernels_quantise Args(const QuantiseProblem& p, bool decode) {
  cairn_kernels_quantise args{};
  args.struct_bytes = sizeof(args);
  args.codec = p.codec;
  args.decode = decode ? 1 : 0;
  args.dtype = p.dtype;
  args.matrices = p.shape.matrices;
  args.rows = p.shape.rows;
  args.columns = p.shape.columns;
  args.max_blocks = p.max_blocks;
  args.payload_bytes = cairn_kernels_quantised_bytes(p.codec, p.dtype, p.shape.matrices,
                                                     p.shape.rows, p.shape.columns);
  return args;
}

struct Outcome {
  cairn_kernels_status status;
  Bytes payload;
  Bytes values;
};
Outcome ThereAndBack(const QuantiseProblem& p, Backend& backend) {
  cairn_kernels_quantise args = Args(p, false);
  const auto bytes = static_cast<std::size_t>(args.payload_bytes);
  args.values = backend.Put(ValuesOf(p));
  args.payload = backend.Put(nullptr, bytes);
  Outcome outcome{backend.Quantise(args), Bytes(bytes), Bytes(p.elements() * p.element())};
  backend.Get(outcome.payload, args.payload);
  args.decode = 1;
  args.values = backend.Put(nullptr, outcome.values.size());
  if (const auto status = backend.Quantise(args)) {
    outcome.status = status;
  }
  backend.Get(outcome.values, args.values);
  return outcome;
}

constexpr int kCodecs[] = {CAIRN_KERNELS_INT8_COLUMN, CAIRN_KERNELS_FP8_KV, CAIRN_KERNELS_INT8_KV,
                           CAIRN_KERNELS_KIVI2, CAIRN_KERNELS_KIVI4};
constexpr int kTypes[] = {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16};

std::string Name(const QuantiseProblem& p) {
  return "codec " + std::to_string(p.codec) + ", dtype " + std::to_string(p.dtype) + ", " +
         std::to_string(p.shape.matrices) + " x " + std::to_string(p.shape.rows) + " x " +
         std::to_string(p.shape.columns);
}

/// What is lost of values whose size is about 1, at most.
double Coarseness(int codec) {
  switch (codec) {
    case CAIRN_KERNELS_KIVI2: return 2.2;  // A sixth of the range of 32 normal values.
    case CAIRN_KERNELS_KIVI4: return 0.45;
    case CAIRN_KERNELS_FP8_KV: return 0.4;
    default: return 0.05;
  }
}

CASE(TheSameBytesEverywhere) {
  const Shape shapes[] = {{2, 40, 48}, {3, 64, 33},  {1, 1, 1},
                          {1, 31, 7},  {2, 33, 300}, {5, 7, 129}};
  for (const int codec : kCodecs) {
    for (const int dtype : kTypes) {
      for (const Shape& shape : shapes) {
        QuantiseProblem p{.codec = codec, .dtype = dtype, .shape = shape};
        const Outcome cpu = ThereAndBack(p, *Cpu());
        context = Name(p);
        const auto in = Floats(dtype, ValuesOf(p));
        const auto out = Floats(dtype, cpu.values);
        double most = 0;
        for (std::size_t i = 0; i < in.size(); ++i) {
          most = std::max(most, std::fabs(double{in[i]} - double{out[i]}));
        }
        CHECK_LE(most, Coarseness(codec));
        for (const auto& backend : Backends()) {
          for (const int blocks : {0, 1}) {
            p.max_blocks = blocks;
            context = Name(p) + " on " + backend->name();
            const Outcome outcome = ThereAndBack(p, *backend);
            CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
            CHECK(outcome.payload == cpu.payload);
            CHECK(outcome.values == cpu.values);
          }
        }
      }
    }
  }
}

std::uint64_t Fnv1a(const Bytes& bytes) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::byte byte : bytes) {
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3U;
  }
  return hash;
}

/// Normal values with all that is special among them: constant rows and columns, no numbers, zeros
/// of either sign, denormals and what is large.
double Special(Random& random, std::size_t i) {
  const std::size_t row = i / 200 % 45;
  const std::size_t column = i % 200;
  const double x = random.Normal();
  if (row == 7 || column == 5) {
    return 3.0;
  }
  if (column == 9) {
    return row % 2 == 0 ? 0.0 : -0.0;
  }
  switch (i % 997) {
    case 1: return NAN;
    case 2: return INFINITY;
    case 3: return -INFINITY;
    case 4: return x * 1e-39;
    case 5: return x * 1e4;
    default: return x;
  }
}

struct Golden {
  int codec;
  int dtype;
  std::uint64_t payload;
  std::uint64_t values;  ///< As decoded.
};
// Frames on disk are read by later versions. Columns of more than a group of 128, rows that leave
// some over 32, an odd number of matrices.
CASE(TheVeryBits) {
  constexpr Golden kExpected[] = {
      {CAIRN_KERNELS_INT8_COLUMN, CAIRN_KERNELS_F32, 4679701401060191413U, 2817528203100098096U},
      {CAIRN_KERNELS_INT8_COLUMN, CAIRN_KERNELS_BF16, 5422108410366910387U, 6323575307665588029U},
      {CAIRN_KERNELS_INT8_COLUMN, CAIRN_KERNELS_F16, 1047356708756104398U, 7034083080855254454U},
      {CAIRN_KERNELS_FP8_KV, CAIRN_KERNELS_F32, 4317853909170831792U, 5498476998506939064U},
      {CAIRN_KERNELS_FP8_KV, CAIRN_KERNELS_BF16, 4959283014298944083U, 4071347723223298206U},
      {CAIRN_KERNELS_FP8_KV, CAIRN_KERNELS_F16, 15728284471400678650U, 8508039768032977258U},
      {CAIRN_KERNELS_INT8_KV, CAIRN_KERNELS_F32, 14011598235982044843U, 8284500717292061980U},
      {CAIRN_KERNELS_INT8_KV, CAIRN_KERNELS_BF16, 3047207428473040621U, 221499660323159090U},
      {CAIRN_KERNELS_INT8_KV, CAIRN_KERNELS_F16, 3284255301763587918U, 2397657381887354115U},
      {CAIRN_KERNELS_KIVI2, CAIRN_KERNELS_F32, 5896053383679923747U, 6782231540385896812U},
      {CAIRN_KERNELS_KIVI2, CAIRN_KERNELS_BF16, 6193891362076850221U, 836286748900354323U},
      {CAIRN_KERNELS_KIVI2, CAIRN_KERNELS_F16, 12949305357302726756U, 4887378249252282546U},
      {CAIRN_KERNELS_KIVI4, CAIRN_KERNELS_F32, 2707799844614277148U, 18366318273714001277U},
      {CAIRN_KERNELS_KIVI4, CAIRN_KERNELS_BF16, 10700478141543637646U, 9490394982582533012U},
      {CAIRN_KERNELS_KIVI4, CAIRN_KERNELS_F16, 4071953924963560940U, 1717657131207276051U},
  };
  for (const Golden& golden : kExpected) {
    const QuantiseProblem p{
        .codec = golden.codec, .dtype = golden.dtype, .shape = {3, 45, 200}, .value = Special};
    for (const auto& backend : Backends()) {
      context = Name(p) + " on " + backend->name();
      const Outcome outcome = ThereAndBack(p, *backend);
      CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
      CHECK_EQ(Fnv1a(outcome.payload), golden.payload);
      CHECK_EQ(Fnv1a(outcome.values), golden.values);
    }
  }
}

// Nothing of it may become a wrong number: NaN where there is no number, and the rest of its group
// as it was, but for KIVI's, which has no code to spare.
CASE(ValuesThatAreNoNumbers) {
  const std::function<double(Random&, std::size_t)> kinds[] = {
      [](Random& random, std::size_t i) { return i % 131 == 5 ? NAN : random.Normal(); },
      [](Random& random, std::size_t i) { return i % 97 == 0 ? INFINITY : random.Normal(); },
      [](Random&, std::size_t) { return 3.0; },
      [](Random&, std::size_t) { return 0.0; },
      [](Random& random, std::size_t) { return random.Normal() * 1e-39; },
      [](Random& random, std::size_t) { return random.Normal() * 1e38; },
      [](Random&, std::size_t i) { return i % 2 == 0 ? -0.0 : 1e-45; },
  };
  for (const int codec : kCodecs) {
    for (const int dtype : kTypes) {
      for (std::size_t kind = 0; kind < std::size(kinds); ++kind) {
        QuantiseProblem p{.codec = codec, .dtype = dtype, .value = kinds[kind]};
        const Outcome cpu = ThereAndBack(p, *Cpu());
        const Outcome emulated = ThereAndBack(p, *Emulated());
        context = Name(p) + ", kind " + std::to_string(kind);
        CHECK(cpu.payload == emulated.payload);
        CHECK(cpu.values == emulated.values);
        const auto in = Floats(dtype, ValuesOf(p));
        const auto out = Floats(dtype, cpu.values);
        for (std::size_t i = 0; i < in.size(); ++i) {
          const bool kivi = codec >= CAIRN_KERNELS_KIVI2;
          const bool kept = kivi && i / 48 % 40 >= 32;  // As it is, infinities too.
          CHECK(kept || std::isfinite(in[i]) || std::isnan(out[i]));
          CHECK(kivi || !std::isfinite(in[i]) || std::isfinite(out[i]));
          CHECK(kind != 2 || std::fabs(out[i] - 3.0F) < 1e-6F);  // Constant groups.
        }
      }
    }
  }
}

CASE(AnyOrderOfThreads) {
  for (const int codec : kCodecs) {
    const QuantiseProblem p{.codec = codec, .dtype = CAIRN_KERNELS_BF16};
    const Outcome expected = ThereAndBack(p, *Cpu());
    for (const unsigned seed : {1U, 2U}) {
      const Outcome outcome = ThereAndBack(p, *Emulated(seed));
      context = Name(p);
      CHECK(outcome.payload == expected.payload);
      CHECK(outcome.values == expected.values);
    }
  }
}

// A decoder of KIVI takes any number of kept rows that leaves whole groups, and nothing else. The
// payload is as long as it would have to be by its head, so that the head alone is what is wrong.
CASE(RowsKept) {
  const QuantiseProblem p{.codec = CAIRN_KERNELS_KIVI4, .shape = {2, 64, 8}};
  for (const auto& backend : Backends()) {
    for (const std::uint32_t kept : {0U, 31U, 32U, 33U, 64U, 96U, 0x7FFFFFE0U, 0xFFFFFFE0U}) {
      for (const std::uint32_t group : {32U, 16U}) {
        context = std::to_string(kept) + " rows kept on " + backend->name();
        cairn_kernels_quantise args = Args(p, true);
        const bool good = group == 32 && (kept == 0 || kept == 32 || kept == 64);
        args.payload_bytes = KiviLayout(args, static_cast<std::int32_t>(kept)).end;
        // What is beyond any memory is never looked at.
        Bytes payload(
            static_cast<std::size_t>(std::clamp<std::int64_t>(args.payload_bytes, 8, 1 << 16)));
        const std::uint32_t head[] = {group, kept};
        std::memcpy(payload.data(), head, sizeof(head));
        args.payload = backend->Put(payload);
        args.values = backend->Put(nullptr, p.elements() * 4);
        CHECK_EQ(backend->Quantise(args), good ? CAIRN_KERNELS_OK : CAIRN_KERNELS_DAMAGED);
      }
    }
  }
}

CASE(BadInput) {
  const auto refused = [](const char* what, cairn_kernels_status code,
                          const std::function<void(cairn_kernels_quantise&)>& change) {
    for (const auto& backend : Backends()) {
      for (const bool decode : {false, true}) {
        context = std::string(what) + " on " + backend->name();
        const QuantiseProblem p;
        cairn_kernels_quantise args = Args(p, decode);
        args.values = backend->Put(ValuesOf(p));
        args.payload = backend->Put(nullptr, static_cast<std::size_t>(args.payload_bytes));
        change(args);
        CHECK_EQ(backend->Quantise(args), code);
      }
    }
  };
  refused("no values", CAIRN_KERNELS_NULL, [](auto& a) { a.values = nullptr; });
  refused("no payload", CAIRN_KERNELS_NULL, [](auto& a) { a.payload = nullptr; });
  refused("another version", CAIRN_KERNELS_UNKNOWN, [](auto& a) { a.struct_bytes = 1; });
  refused("an unknown codec", CAIRN_KERNELS_UNKNOWN, [](auto& a) { a.codec = 7; });
  refused("the lossless codec", CAIRN_KERNELS_UNKNOWN, [](auto& a) { a.codec = 1; });
  refused("neither way", CAIRN_KERNELS_UNKNOWN, [](auto& a) { a.decode = 2; });
  refused("a type", CAIRN_KERNELS_DTYPE, [](auto& a) { a.dtype = 3; });
  refused("no rows", CAIRN_KERNELS_SHAPE, [](auto& a) { a.rows = 0; });
  refused("matrices", CAIRN_KERNELS_SHAPE, [](auto& a) { a.matrices = -1; });
  refused("columns", CAIRN_KERNELS_SHAPE, [](auto& a) { a.columns = 65537; });
  refused("more than 2^40 bytes", CAIRN_KERNELS_SHAPE, [](auto& a) {
    a.matrices = 1 << 30;
    a.rows = 1 << 30;
  });
  refused("blocks", CAIRN_KERNELS_SHAPE, [](auto& a) { a.max_blocks = -1; });
  refused("a crooked payload", CAIRN_KERNELS_ALIGNMENT,
          [](auto& a) { a.payload = static_cast<std::byte*>(a.payload) + 1; });
  refused("crooked values", CAIRN_KERNELS_ALIGNMENT,
          [](auto& a) { a.values = static_cast<std::byte*>(a.values) + 2; });
  for (const bool decode : {false, true}) {
    QuantiseProblem p;
    const auto backend = Cpu();
    cairn_kernels_quantise args = Args(p, decode);
    args.values = backend->Put(ValuesOf(p));
    args.payload = backend->Put(nullptr, static_cast<std::size_t>(args.payload_bytes));
    --args.payload_bytes;
    CHECK_EQ(backend->Quantise(args), decode ? CAIRN_KERNELS_DAMAGED : CAIRN_KERNELS_SHAPE);
  }
  CHECK_EQ(cairn_kernels_quantise_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  CHECK_EQ(cairn_kernels_quantised_bytes(9, 0, 1, 1, 1), -1);
  CHECK_EQ(cairn_kernels_quantised_bytes(CAIRN_KERNELS_FP8_KV, 0, 1, 0, 1), -1);
  CHECK_EQ(cairn_kernels_quantised_bytes(CAIRN_KERNELS_INT8_KV, CAIRN_KERNELS_BF16, 2, 3, 129),
           2 * 3 * (2 * 4 + 129));
}

}  // namespace
}  // namespace cairn::kernels::test

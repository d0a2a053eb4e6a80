// Decoding the lossless codec: the very bytes, and of damaged ones nothing worse than being told.
#include <functional>
#include <string>
#include <vector>

#include "kernels/tests/backend.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"
#include "kernels/tests/split_encoder.h"

namespace cairn::kernels::test {
namespace {

using Bytes = std::vector<std::byte>;

/// Elements with few exponents and noise behind them, as states are; every third chunk has bytes
/// that are all alike.
Bytes Object(std::size_t bytes, std::uint64_t seed) {
  Random random(seed);
  Bytes object(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    const auto noise = static_cast<std::uint8_t>(random.Next());
    const auto exponent = static_cast<std::uint8_t>(0x3C + random.Below(3) * random.Below(2));
    object[i] = static_cast<std::byte>(i / (128 * 1024) % 3 == 2 ? 7
                                       : i % 4 == 3              ? exponent
                                                                 : noise);
  }
  return object;
}

struct Outcome {
  cairn_kernels_status status;
  Bytes object;
};
Outcome Decode(const Bytes& payload, std::size_t bytes, Backend& backend, int max_blocks = 0) {
  cairn_kernels_exponent_split args{};
  args.struct_bytes = sizeof(args);
  args.max_blocks = max_blocks;
  args.payload = backend.Put(payload);
  args.payload_bytes = static_cast<std::int64_t>(payload.size());
  Outcome outcome{CAIRN_KERNELS_OK, Bytes(bytes)};
  args.object = backend.Put(nullptr, bytes);
  args.object_bytes = static_cast<std::int64_t>(bytes);
  outcome.status = backend.ExponentSplit(args);
  backend.Get(outcome.object, args.object);
  return outcome;
}

CASE(EveryKindModeAndLength) {
  const std::size_t lengths[] = {0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 127, 128, 129, 515, 4099};
  for (int kind = 0; kind < 4; ++kind) {
    const int planes = kind == 1 ? 4 : kind == 0 ? 1 : 2;
    for (int coded = 0; coded < 1 << planes; ++coded) {
      for (const std::size_t length : lengths) {
        SplitChoice choice{.kind = kind};
        for (int p = 0; p < planes; ++p) {
          choice.mode[p] = (coded >> p & 1) != 0 ? 2 : 0;
        }
        const Bytes object = Object(length, length + 1);
        const Bytes payload = EncodeSplit(object, [&](std::size_t) { return choice; });
        for (const auto& backend : Backends()) {
          context = "kind " + std::to_string(kind) + ", planes coded " + std::to_string(coded) +
                    ", " + std::to_string(length) + " bytes on " + backend->name();
          const Outcome outcome = Decode(payload, length, *backend);
          CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
          CHECK(outcome.object == object);
        }
      }
    }
  }
}

/// Elements whose bytes of plane p, one of `mode` 1, are all alike.
Bytes WithConstants(std::size_t elements, const SplitChoice& choice) {
  const std::size_t planes = choice.kind == 1 ? 4 : 2;
  Random random(elements);
  Bytes object;
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint32_t word = 0;
    for (std::size_t p = 0; p < planes; ++p) {
      const int noise = choice.mode[p] == 2 ? 5 + random.Below(4) : random.Below(256);
      const int byte = choice.mode[p] == 1 ? 0x5B + static_cast<int>(p) : noise;
      word = word << 8U | static_cast<std::uint32_t>(byte);
    }
    if (choice.kind != 3) {  // The sign is the last bit of the planes, and the first of an element.
      const unsigned bits = planes == 4 ? 32 : 16;
      word = word >> 1U | word << (bits - 1);
    }
    for (std::size_t b = 0; b < planes; ++b) {
      object.push_back(static_cast<std::byte>(word >> (8 * b)));
    }
  }
  return object;
}

// A constant plane at each position, beside planes of all other modes.
CASE(ConstantPlanesBesideOthers) {
  for (const int kind : {1, 2, 3}) {
    const std::size_t planes = kind == 1 ? 4 : 2;
    const int combinations = kind == 1 ? 81 : 9;
    for (int modes = 0; modes < combinations; ++modes) {
      SplitChoice choice{.kind = kind};
      bool constant = false;
      for (std::size_t p = 0, left = static_cast<std::size_t>(modes); p < planes; ++p, left /= 3) {
        choice.mode[p] = static_cast<std::uint8_t>(left % 3);
        constant = constant || choice.mode[p] == 1;
      }
      for (const std::size_t elements : {1U, 33U, 515U}) {
        if (!constant) {
          continue;
        }
        Bytes object = WithConstants(elements, choice);
        object.resize(object.size() + 1, std::byte{9});  // And what is left of an element.
        const Bytes payload = EncodeSplit(object, [&](std::size_t) { return choice; });
        for (const auto& backend : Backends()) {
          context = "kind " + std::to_string(kind) + ", modes " + std::to_string(modes) + ", " +
                    std::to_string(elements) + " elements on " + backend->name();
          const Outcome outcome = Decode(payload, object.size(), *backend);
          CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
          CHECK(outcome.object == object);
        }
      }
    }
  }
}

CASE(ManyChunksEachOfItsOwnKind) {
  for (const std::size_t length : {131072U, 131073U, 3U * 131072U + 70001U}) {
    const Bytes object = Object(length, 3);
    const Bytes payload = EncodeSplit(object, [](std::size_t chunk) {
      switch (chunk) {
        case 0: return SplitChoice{.kind = 1, .mode = {2, 0, 0, 0}};
        case 1: return SplitChoice{.kind = 0, .mode = {2}};
        case 2: return SplitChoice{.kind = 0, .mode = {1}};
        default: return SplitChoice{.kind = 2, .mode = {2, 2}};
      }
    });
    for (const auto& backend : Backends()) {
      for (const int blocks : {0, 1, 3}) {
        context = std::to_string(length) + " bytes, blocks " + std::to_string(blocks) + " on " +
                  backend->name();
        const Outcome outcome = Decode(payload, length, *backend, blocks);
        CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
        CHECK(outcome.object == object);
      }
    }
  }
}

CASE(AnyOrderOfThreads) {
  const Bytes object = Object(5003, 9);
  const Bytes payload = EncodeSplit(object, [](std::size_t) {
    return SplitChoice{.kind = 1, .mode = {2, 2, 0, 2}};
  });
  for (const unsigned seed : {1U, 2U, 3U}) {
    const Outcome outcome = Decode(payload, object.size(), *Emulated(seed));
    CHECK_EQ(outcome.status, CAIRN_KERNELS_OK);
    CHECK(outcome.object == object);
  }
}

// The CPU and the device agree on what is damaged; nothing is read or written out of bounds, which
// the sanitizers would see.
CASE(EveryBitFlipped) {
  const Bytes object = Object(203, 4);
  const Bytes payload = EncodeSplit(object, [](std::size_t) {
    return SplitChoice{.kind = 2, .mode = {2, 0}};
  });
  int damaged = 0;
  for (std::size_t bit = 0; bit < payload.size() * 8; ++bit) {
    Bytes flipped = payload;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const auto cpu = Decode(flipped, object.size(), *Cpu());
    const auto emulated = Decode(flipped, object.size(), *Emulated());
    context = "bit " + std::to_string(bit);
    CHECK_EQ(cpu.status, emulated.status);
    CHECK(cpu.status == CAIRN_KERNELS_DAMAGED || cpu.object == emulated.object);
    damaged += cpu.status == CAIRN_KERNELS_DAMAGED ? 1 : 0;
  }
  CHECK(damaged > static_cast<int>(payload.size()) * 5);  // All but those of the raw plane.
}

CASE(EveryLength) {
  const Bytes object = Object(300, 5);
  const Bytes payload = EncodeSplit(object, [](std::size_t) {
    return SplitChoice{.kind = 1, .mode = {2, 0, 0, 1}};
  });
  for (std::size_t length = 0; length < payload.size(); ++length) {
    const Bytes cut(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(length));
    for (const auto& backend : Backends()) {
      context = std::to_string(length) + " bytes left on " + backend->name();
      const auto status = Decode(cut, object.size(), *backend).status;
      CHECK_EQ(status, length == 0 ? CAIRN_KERNELS_NULL : CAIRN_KERNELS_DAMAGED);
    }
  }
}

CASE(NoiseIsNoPayload) {
  Random random(6);
  for (int i = 0; i < 300; ++i) {
    Bytes noise(static_cast<std::size_t>(12 + random.Below(400)));
    for (std::byte& byte : noise) {
      byte = static_cast<std::byte>(random.Next());
    }
    const std::uint32_t head[] = {131072, 1, static_cast<std::uint32_t>(noise.size() - 12)};
    std::memcpy(noise.data(), head, std::min(noise.size(), sizeof(head)));
    if (noise.size() > 20) {
      noise[12] = static_cast<std::byte>(random.Below(4));
      for (std::size_t at = 13; at < 17; ++at) {
        noise[at] = static_cast<std::byte>(random.Below(3));
      }
      noise[17] = noise[18] = noise[19] = std::byte{0};
    }
    context = "noise " + std::to_string(i);
    const auto bytes = static_cast<std::size_t>(random.Below(500));
    CHECK_EQ(Decode(noise, bytes, *Cpu()).status, Decode(noise, bytes, *Emulated()).status);
  }
}

CASE(BadInput) {
  const auto refused = [](const char* what, cairn_kernels_status code,
                          const std::function<void(cairn_kernels_exponent_split&)>& change) {
    for (const auto& backend : Backends()) {
      context = std::string(what) + " on " + backend->name();
      const Bytes payload =
          EncodeSplit(Object(64, 1), [](std::size_t) { return SplitChoice{.kind = 0}; });
      cairn_kernels_exponent_split args{};
      args.struct_bytes = sizeof(args);
      args.payload = backend->Put(payload);
      args.payload_bytes = static_cast<std::int64_t>(payload.size());
      args.object = backend->Put(nullptr, 64);
      args.object_bytes = 64;
      change(args);
      CHECK_EQ(backend->ExponentSplit(args), code);
    }
  };
  refused("no object", CAIRN_KERNELS_NULL, [](auto& a) { a.object = nullptr; });
  refused("no payload", CAIRN_KERNELS_NULL, [](auto& a) { a.payload = nullptr; });
  refused("another version", CAIRN_KERNELS_UNKNOWN, [](auto& a) { a.struct_bytes = 8; });
  refused("blocks", CAIRN_KERNELS_SHAPE, [](auto& a) { a.max_blocks = -1; });
  refused("bytes", CAIRN_KERNELS_SHAPE, [](auto& a) { a.object_bytes = -1; });
  refused("too many bytes", CAIRN_KERNELS_SHAPE,
          [](auto& a) { a.object_bytes = (std::int64_t{1} << 40) + 1; });
  refused("a crooked payload", CAIRN_KERNELS_ALIGNMENT,
          [](auto& a) { a.payload = static_cast<const std::byte*>(a.payload) + 2; });
  refused("a crooked object", CAIRN_KERNELS_ALIGNMENT,
          [](auto& a) { a.object = static_cast<std::byte*>(a.object) + 1; });
  refused("an object of another size", CAIRN_KERNELS_DAMAGED, [](auto& a) { a.object_bytes = 60; });
  CHECK_EQ(cairn_kernels_exponent_split_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
}

}  // namespace
}  // namespace cairn::kernels::test

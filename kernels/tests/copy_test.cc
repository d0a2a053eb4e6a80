// Many pieces in one launch: every byte where it belongs, at any address, and nothing else touched.
#include <sys/mman.h>
#include <unistd.h>

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
constexpr std::int64_t kMost64 = std::numeric_limits<std::int64_t>::max();

/// A piece by its places in two stretches of memory.
struct Place {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::int64_t bytes = 0;
};

struct CopyProblem {
  std::vector<Place> places;
  std::int64_t memory_bytes = 0;  ///< Of the source and of the target.
  int max_blocks = 0;
  std::function<void(cairn_kernels_copy&, Backend&)> change{};
};

Bytes SourceOf(const CopyProblem& p) {
  Random random(9);
  Bytes bytes(static_cast<std::size_t>(p.memory_bytes));
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random.Next());
  }
  return bytes;
}

struct CopyResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  Bytes target;
};

CopyResult Run(const CopyProblem& p, Backend& backend) {
  CopyResult result{CAIRN_KERNELS_OK,
                    Bytes(static_cast<std::size_t>(p.memory_bytes), std::byte{0xA5})};
  auto* const source = static_cast<std::byte*>(backend.Put(SourceOf(p)));
  auto* const target = static_cast<std::byte*>(backend.Put(result.target));
  std::vector<cairn_kernels_piece> pieces;
  for (const Place& place : p.places) {
    pieces.push_back({source + place.from, target + place.to, place.bytes});
  }
  cairn_kernels_copy args{};
  args.struct_bytes = sizeof(args);
  args.count = static_cast<std::int32_t>(pieces.size());
  args.pieces = backend.Put(pieces);
  args.max_blocks = p.max_blocks;
  if (p.change) {
    p.change(args, backend);
  }
  result.status = backend.Copy(args);
  backend.Get(result.target, target);
  return result;
}

Bytes Expected(const CopyProblem& p, std::size_t left_out = SIZE_MAX) {
  const Bytes source = SourceOf(p);
  Bytes target(source.size(), std::byte{0xA5});
  for (std::size_t i = 0; i < p.places.size(); ++i) {
    const Place& place = p.places[i];
    if (i != left_out && place.bytes > 0) {
      std::memcpy(&target[static_cast<std::size_t>(place.to)],
                  &source[static_cast<std::size_t>(place.from)],
                  static_cast<std::size_t>(place.bytes));
    }
  }
  return target;
}

/// Pieces of these lengths, each at its own distance from multiples of 16, a byte or more apart.
CopyProblem Crooked(const std::vector<std::int64_t>& lengths, int shift) {
  CopyProblem p;
  std::int64_t at = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto own = static_cast<std::int64_t>(i);
    p.places.push_back({.from = at + own % 16, .to = at + (own + shift) % 16, .bytes = lengths[i]});
    at += (lengths[i] + 17 + 15) / 16 * 16;
  }
  p.memory_bytes = at + 32;
  return p;
}

CASE(EveryLengthAtEveryAddress) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t bytes = 0; bytes <= 70; ++bytes) {
    lengths.push_back(bytes);
  }
  for (const std::int64_t edge : {128, 512, 4096, 8192}) {
    for (const std::int64_t more : {-17, -1, 0, 1, 15, 16}) {
      lengths.push_back(edge + more);
    }
  }
  for (int shift = 0; shift < 16; ++shift) {
    const CopyProblem p = Crooked(lengths, shift);
    const Bytes expected = Expected(p);
    for (const auto& backend : Backends()) {
      context = "shift " + std::to_string(shift) + " on " + backend->name();
      const CopyResult result = Run(p, *backend);
      CHECK_EQ(result.status, CAIRN_KERNELS_OK);
      CHECK(result.target == expected);
    }
  }
}

CASE(AQuotaOfBlocksChangesNothing) {
  CopyProblem p = Crooked(std::vector<std::int64_t>(100, 1000), 3);
  const Bytes expected = Expected(p);
  for (const int blocks : {0, 1, 2, 5, 1000}) {
    for (const auto& backend : Backends()) {
      context = std::to_string(blocks) + " blocks on " + backend->name();
      p.max_blocks = blocks;
      const CopyResult result = Run(p, *backend);
      CHECK_EQ(result.status, CAIRN_KERNELS_OK);
      CHECK(result.target == expected);
    }
  }
}

CASE(AnyOrderOfThreads) {
  const CopyProblem p = Crooked({28 * 1024, 4096, 5000, 1, 0, 333, 64 * 1024 + 5}, 7);
  for (const unsigned seed : {1U, 2U, 3U}) {
    const CopyResult result = Run(p, *Emulated(seed));
    CHECK_EQ(result.status, CAIRN_KERNELS_OK);
    CHECK(result.target == Expected(p));
  }
}

CASE(NothingToDo) {
  for (const auto& backend : Backends()) {
    context = backend->name();
    CopyProblem none;
    none.memory_bytes = 16;
    CHECK_EQ(Run(none, *backend).status, CAIRN_KERNELS_OK);
    none.places = {{.from = 0, .to = 0, .bytes = 0}};
    none.change = [](cairn_kernels_copy& args, Backend& memory) {
      args.pieces = memory.Put(std::vector<cairn_kernels_piece>{{nullptr, nullptr, 0}});
    };
    const CopyResult result = Run(none, *backend);
    CHECK_EQ(result.status, CAIRN_KERNELS_OK);
    CHECK(result.target == Bytes(16, std::byte{0xA5}));
  }
}

CASE(BadArguments) {
  using Args = cairn_kernels_copy;
  CHECK_EQ(cairn_kernels_copy_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(Args&)> change;
  };
  const Case cases[] = {{"version", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.struct_bytes = 8; }},
                        {"reserved", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.reserved = 1; }},
                        {"count", CAIRN_KERNELS_SHAPE, [](Args& a) { a.count = -1; }},
                        {"blocks", CAIRN_KERNELS_SHAPE, [](Args& a) { a.max_blocks = -1; }},
                        {"pieces", CAIRN_KERNELS_NULL, [](Args& a) { a.pieces = nullptr; }},
                        {"crooked", CAIRN_KERNELS_ALIGNMENT, [](Args& a) {
                           a.pieces = reinterpret_cast<const cairn_kernels_piece*>(
                               reinterpret_cast<const char*>(a.pieces) + 4);
                         }}};
  for (const Case& each : cases) {
    for (const auto& backend : Backends()) {
      context = std::string(each.what) + " on " + backend->name();
      CopyProblem p = Crooked({100, 200}, 1);
      p.change = [&](Args& args, Backend&) { each.change(args); };
      const CopyResult result = Run(p, *backend);
      CHECK_EQ(result.status, each.code);
      CHECK(result.target == Bytes(result.target.size(), std::byte{0xA5}));
    }
  }
  Args nothing{};
  nothing.struct_bytes = sizeof(nothing);
  CHECK_EQ(cairn_kernels_copy_cpu(&nothing, 0, 1), CAIRN_KERNELS_OK);
  CHECK_EQ(cairn_kernels_copy_cpu(&nothing, 1, 1), CAIRN_KERNELS_SHAPE);
  CHECK_EQ(cairn_kernels_copy_cpu(&nothing, 0, 0), CAIRN_KERNELS_SHAPE);
  // Asks nobody where there is nothing to do; a library built without CUDA says so in any case.
  const auto status = cairn_kernels_copy_cuda(&nothing, nullptr);
  CHECK(status == CAIRN_KERNELS_OK || status == CAIRN_KERNELS_NO_DEVICE);
}

// The bad one is left alone; the others are copied, except on the CPU, which looks at all first.
CASE(BadPieces) {
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(cairn_kernels_piece&)> change;
  };
  const Case cases[] = {
      {"source", CAIRN_KERNELS_NULL, [](cairn_kernels_piece& x) { x.source = nullptr; }},
      {"target", CAIRN_KERNELS_NULL, [](cairn_kernels_piece& x) { x.target = nullptr; }},
      {"negative", CAIRN_KERNELS_SHAPE, [](cairn_kernels_piece& x) { x.bytes = -1; }},
      {"least", CAIRN_KERNELS_SHAPE, [](cairn_kernels_piece& x) { x.bytes = -kMost64 - 1; }},
      {"endless", CAIRN_KERNELS_SHAPE, [](cairn_kernels_piece& x) { x.bytes = kMost64; }}};
  for (const Case& each : cases) {
    for (const auto& backend : Backends()) {
      context = std::string(each.what) + " on " + backend->name();
      CopyProblem p = Crooked({100, 200, 300}, 1);
      p.change = [&](cairn_kernels_copy& args, Backend& memory) {
        std::vector<cairn_kernels_piece> pieces(3);
        memory.Get(pieces, args.pieces);
        each.change(pieces[1]);
        args.pieces = memory.Put(pieces);
      };
      const CopyResult result = Run(p, *backend);
      CHECK_EQ(result.status, each.code);
      CHECK(result.target == (std::strcmp(backend->name(), "cpu") == 0
                                  ? Bytes(result.target.size(), std::byte{0xA5})
                                  : Expected(p, 1)));
    }
  }
}

// A piece longer than 2^32 bytes. Its source is zeros that cost no memory but for the last bytes,
// its target one window of memory over and over, in which the last bytes must be what stays.
CASE(APieceLongerThan32Bits) {
  constexpr std::size_t kWindow = std::size_t{64} << 20;
  constexpr std::size_t kLength = (std::size_t{1} << 32) + kWindow;
  constexpr std::size_t kEnd = 4096;
  const auto map = [](void* at, std::size_t bytes, int fd) {
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED | MAP_FIXED;
    return mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  };
  void* const source = map(nullptr, kLength, -1);
  void* const target = map(nullptr, kLength, -1);
  const int window = memfd_create("window", MFD_CLOEXEC);
  bool lent = source != MAP_FAILED && target != MAP_FAILED && ftruncate(window, kWindow) == 0;
  for (std::size_t at = 0; lent && at < kLength; at += kWindow) {
    lent = map(static_cast<std::byte*>(target) + at, kWindow, window) != MAP_FAILED;
  }
  if (!lent) {
    std::printf("NOT TESTED: this machine does not lend 8 GiB of addresses\n");
    return;
  }
  std::byte* const last = static_cast<std::byte*>(source) + kLength - kEnd;
  for (std::size_t i = 0; i < kEnd; ++i) {
    last[i] = static_cast<std::byte>(i * 7 + 1);
  }
  for (const auto& backend : {Cpu(), Emulated()}) {
    context = backend->name();
    std::memset(target, 0xA5, kWindow);
    const cairn_kernels_piece piece = {source, target, kLength};
    cairn_kernels_copy args{};
    args.struct_bytes = sizeof(args);
    args.count = 1;
    args.pieces = &piece;
    CHECK_EQ(backend->Copy(args), CAIRN_KERNELS_OK);
    CHECK(std::memcmp(static_cast<std::byte*>(target) + kWindow - kEnd, last, kEnd) == 0);
    CHECK(*static_cast<std::byte*>(target) == std::byte{0});
  }
  munmap(source, kLength);
  munmap(target, kLength);
  close(window);
}

}  // namespace
}  // namespace cairn::kernels::test

#include "kernels/simt/emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

namespace cairn::kernels {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10U;
constexpr int kWarp = 32;

/// A point where `expected` threads meet. Each passes when all have come to the same generation.
struct Meeting {
  int expected = 0;
  int arrived = 0;
  unsigned generation = 0;
};

/// What a thread shows the others of its warp.
using Words = std::array<std::uint32_t, 6>;

struct Warp {
  Meeting meeting;
  // Two generations: a thread that is ahead must not write over what others still read.
  std::array<std::array<Words, kWarp>, 2> shown{};
  std::array<std::array<const std::byte*, kWarp>, 2> rows{};
};

struct Copy {
  void* to;
  const void* from;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  const Meeting* waits_for = nullptr;
  unsigned generation = 0;
  bool done = false;
  void* fake_stack = nullptr;               // AddressSanitizer's.
  std::vector<std::vector<Copy>> copies{};  // By group; the last one is open.
};

struct Block {
  const std::function<void()>* kernel = nullptr;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Meeting all;
  ucontext_t scheduler{};
  int current = 0;
  int x = 0, y = 0, z = 0, grid_x = 0;
  std::vector<unsigned char> shared;
  unsigned char* shared_begin = nullptr;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
};

Block* block = nullptr;

// AddressSanitizer wants to know of every change of stacks.
void BeforeSwitch([[maybe_unused]] void** keep, [[maybe_unused]] const void* stack,
                  [[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(keep, stack, bytes);
#endif
}
void AfterSwitch([[maybe_unused]] void* kept, [[maybe_unused]] const void** stack,
                 [[maybe_unused]] std::size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(kept, stack, bytes);
#endif
}

void Yield(bool last) {
  Fiber& fiber = block->fibers[static_cast<std::size_t>(block->current)];
  BeforeSwitch(last ? nullptr : &fiber.fake_stack, block->scheduler_stack,
               block->scheduler_stack_bytes);
  swapcontext(&fiber.context, &block->scheduler);
  AfterSwitch(fiber.fake_stack, &block->scheduler_stack, &block->scheduler_stack_bytes);
}

void Start() {
  AfterSwitch(nullptr, &block->scheduler_stack, &block->scheduler_stack_bytes);
  (*block->kernel)();
  block->fibers[static_cast<std::size_t>(block->current)].done = true;
  Yield(true);
}

void Resume(int thread) {
  Fiber& fiber = block->fibers[static_cast<std::size_t>(thread)];
  block->current = thread;
  BeforeSwitch(&block->scheduler_fake_stack, fiber.stack.get(), kStackBytes);
  swapcontext(&block->scheduler, &fiber.context);
  AfterSwitch(block->scheduler_fake_stack, nullptr, nullptr);
}

/// Waits until all are there; returns the generation they came to.
unsigned Meet(Meeting& meeting) {
  const unsigned generation = meeting.generation;
  if (++meeting.arrived == meeting.expected) {
    meeting.arrived = 0;
    ++meeting.generation;
    return generation;
  }
  Fiber& fiber = block->fibers[static_cast<std::size_t>(block->current)];
  fiber.waits_for = &meeting;
  fiber.generation = generation;
  Yield(false);
  return generation;
}

bool Ready(const Fiber& fiber) {
  return !fiber.done &&
         (fiber.waits_for == nullptr || fiber.waits_for->generation != fiber.generation);
}

void RunBlock(const std::vector<int>& order) {
  for (Fiber& fiber : block->fibers) {
    fiber.waits_for = nullptr;
    fiber.done = false;
    fiber.fake_stack = nullptr;
    fiber.copies.assign(1, {});
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, Start, 0);
  }
  std::size_t left = block->fibers.size();
  while (left > 0) {
    bool moved = false;
    for (const int thread : order) {
      Fiber& fiber = block->fibers[static_cast<std::size_t>(thread)];
      if (Ready(fiber)) {
        fiber.waits_for = nullptr;
        Resume(thread);
        left -= fiber.done ? 1U : 0U;
        moved = true;
      }
    }
    if (!moved) {
      std::fprintf(stderr, "emulator: the threads of a block wait for each other for ever\n");
      std::abort();
    }
  }
}

}  // namespace

int ThreadIndex() { return block->current; }
int BlockX() { return block->x; }
int BlockY() { return block->y; }
int BlockZ() { return block->z; }
int GridX() { return block->grid_x; }
void SyncBlock() { Meet(block->all); }
unsigned char* Shared() { return block->shared_begin; }

namespace {

int Lane() { return block->current % kWarp; }
Warp& OwnWarp() { return block->warps[static_cast<std::size_t>(block->current / kWarp)]; }

/// Shows `words` to the warp and returns what all show.
const std::array<Words, kWarp>& Show(const Words& words) {
  Warp& warp = OwnWarp();
  warp.shown[warp.meeting.generation % 2][static_cast<std::size_t>(Lane())] = words;
  return warp.shown[Meet(warp.meeting) % 2];
}
const std::array<const std::byte*, kWarp>& ShowRow(const void* row) {
  Warp& warp = OwnWarp();
  warp.rows[warp.meeting.generation % 2][static_cast<std::size_t>(Lane())] =
      static_cast<const std::byte*>(row);
  return warp.rows[Meet(warp.meeting) % 2];
}

float Bf16At(std::uint32_t word, int half) {
  return std::bit_cast<float>((half == 0 ? word << 16U : word & 0xFFFF0000U));
}
std::uint32_t HalfAt(const std::byte* row, int column) {
  std::uint16_t half = 0;
  std::memcpy(&half, row + 2 * column, sizeof(half));
  return half;
}

}  // namespace

float ShuffleXor(float value, int mask) {
  const auto& all = Show({std::bit_cast<std::uint32_t>(value)});
  return std::bit_cast<float>(all[static_cast<std::size_t>(Lane() ^ mask)][0]);
}

std::uint32_t Shuffle(std::uint32_t value, int lane) {
  return Show({value})[static_cast<std::size_t>(lane)][0];
}
std::uint32_t Ballot(bool mine) {
  const auto& all = Show({mine ? 1U : 0U});
  std::uint32_t bits = 0;
  for (std::size_t lane = 0; lane < kWarp; ++lane) {
    bits |= all[lane][0] << lane;
  }
  return bits;
}

void Mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const auto& all = Show({a[0], a[1], a[2], a[3], b0, b1});
  const int lane = Lane();
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 16; ++k) {
      // Register 2 (k / 8) + row / 8 of the lane that has this row and k; b likewise by column.
      const auto of_a = static_cast<std::size_t>(row % 8 * 4 + k % 8 / 2);
      const auto of_b = static_cast<std::size_t>(column * 4 + k % 8 / 2);
      const auto word_a = static_cast<std::size_t>(k / 8 * 2 + row / 8);
      const auto word_b = static_cast<std::size_t>(4 + k / 8);
      c[i] += Bf16At(all[of_a][word_a], k % 2) * Bf16At(all[of_b][word_b], k % 2);
    }
  }
}

void LoadMatrices(std::uint32_t (&r)[4], const void* row) {
  const auto& rows = ShowRow(row);
  const int lane = Lane();
  for (int i = 0; i < 4; ++i) {
    const std::byte* of = rows[static_cast<std::size_t>(8 * i + lane / 4)];
    r[i] = HalfAt(of, 2 * (lane % 4)) | HalfAt(of, 2 * (lane % 4) + 1) << 16U;
  }
}
void LoadMatricesTransposed(std::uint32_t (&r)[4], const void* row) {
  const auto& rows = ShowRow(row);
  const int lane = Lane();
  for (int i = 0; i < 4; ++i) {
    const auto first = static_cast<std::size_t>(8 * i + 2 * (lane % 4));
    r[i] = HalfAt(rows[first], lane / 4) | HalfAt(rows[first + 1], lane / 4) << 16U;
  }
}

void CopyAsync(void* shared, const void* global) {
  if (std::bit_cast<std::uintptr_t>(shared) % 16 != 0 ||
      std::bit_cast<std::uintptr_t>(global) % 16 != 0) {
    std::fprintf(stderr, "emulator: an asynchronous copy that is not aligned to 16 bytes\n");
    std::abort();
  }
  block->fibers[static_cast<std::size_t>(block->current)].copies.back().push_back({shared, global});
}
void CopyCommit() { block->fibers[static_cast<std::size_t>(block->current)].copies.emplace_back(); }
void CopyWait(int left) {
  auto& groups = block->fibers[static_cast<std::size_t>(block->current)].copies;
  while (static_cast<int>(groups.size()) - 1 > left) {
    for (const Copy& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, 16);
    }
    groups.erase(groups.begin());
  }
}

void Emulate(const EmulatedGrid& grid, const std::function<void()>& kernel) {
  Block here;
  here.kernel = &kernel;
  here.fibers.resize(static_cast<std::size_t>(grid.threads));
  here.warps.resize(static_cast<std::size_t>(grid.threads / kWarp));
  here.all.expected = grid.threads;
  here.grid_x = grid.x;
  for (Warp& warp : here.warps) {
    warp.meeting.expected = kWarp;
  }
  std::vector<int> order(static_cast<std::size_t>(grid.threads));
  std::iota(order.begin(), order.end(), 0);
  if (grid.order_seed != 0) {
    std::shuffle(order.begin(), order.end(), std::minstd_rand(grid.order_seed));
  }
  block = &here;
  for (here.z = 0; here.z < grid.z; ++here.z) {
    for (here.y = 0; here.y < grid.y; ++here.y) {
      for (here.x = 0; here.x < grid.x; ++here.x) {
        // Anew each time, and to the byte: a sanitizer sees what goes past its end.
        here.shared = std::vector<unsigned char>(grid.shared_bytes, 0xFF);
        here.shared_begin = here.shared.data();
        RunBlock(order);
      }
    }
  }
  block = nullptr;
}

}  // namespace cairn::kernels

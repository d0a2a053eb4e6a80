#include "kernels/simt/emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
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

struct Warp {
  Meeting meeting;
  // Two generations: a thread that is ahead must not write over what others still read.
  std::array<std::array<float, kWarp>, 2> values{};
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  const Meeting* waits_for = nullptr;
  unsigned generation = 0;
  bool done = false;
  void* fake_stack = nullptr;  // AddressSanitizer's.
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

float ShuffleXor(float value, int mask) {
  const auto lane = static_cast<std::size_t>(block->current % kWarp);
  Warp& warp = block->warps[static_cast<std::size_t>(block->current / kWarp)];
  warp.values[warp.meeting.generation % 2][lane] = value;
  const unsigned generation = Meet(warp.meeting);
  return warp.values[generation % 2][lane ^ static_cast<std::size_t>(mask)];
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

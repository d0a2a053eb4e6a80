#include "libcache/tier/prefault.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

class PrefaultTest : public testing::Test {
 protected:
  ~PrefaultTest() override { munmap(base_, kBytes); }

  static constexpr std::size_t kBytes = 8 * kMiB + 12 * 1024;  // Not a multiple of its steps.

  [[nodiscard]] std::span<std::byte> Memory() const {
    return {static_cast<std::byte*>(base_), kBytes};
  }
  [[nodiscard]] std::size_t ResidentPages() const {
    std::vector<unsigned char> pages(kBytes / 4096);
    EXPECT_EQ(mincore(base_, kBytes, pages.data()), 0);
    return static_cast<std::size_t>(
        std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1U) != 0; }));
  }
  // A kernel before 5.14 takes no page ahead; then there is nothing to test.
  static bool Supported() {
    void* const page =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool supported = madvise(page, 4096, 23) == 0;
    munmap(page, 4096);
    return supported;
  }

  void* base_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
};

TEST_F(PrefaultTest, TakesEveryPageAndLeavesContentsAlone) {
  if (!Supported()) {
    GTEST_SKIP() << "the kernel has no MADV_POPULATE_WRITE";
  }
  Memory()[5 * kMiB] = std::byte{42};
  ASSERT_EQ(ResidentPages(), 1U);
  const Prefaulter prefaulter(Memory());
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (ResidentPages() < kBytes / 4096 && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(ResidentPages(), kBytes / 4096);
  EXPECT_EQ(Memory()[5 * kMiB], std::byte{42});
  EXPECT_EQ(Memory()[kMiB], std::byte{0});
}

TEST_F(PrefaultTest, StopsInTheMiddle) {
  for (int i = 0; i < 20; ++i) {
    const Prefaulter prefaulter(Memory());
  }
}

TEST_F(PrefaultTest, MemoryThatCannotBeHadEndsIt) {
  void* const closed = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  {
    const Prefaulter prefaulter({static_cast<std::byte*>(closed), 4096});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  munmap(closed, 4096);
}

}  // namespace
}  // namespace cairn

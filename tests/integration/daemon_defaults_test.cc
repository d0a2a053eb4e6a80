// A daemon as a user starts it, with huge pages and prefault on. All other tests turn both off, for
// memory's sake.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "libcache/base/bytes.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"

namespace cairn::test {
namespace {

constexpr std::uint64_t kMemory = 128 * kMiB;

/// A kernel before 5.14 takes no page ahead.
bool KernelPrefaults() {
  constexpr int kPopulateWrite = 23;  // Debian 12's libc headers may lack MADV_POPULATE_WRITE.
  void* const page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool prefaults = madvise(page, 4096, kPopulateWrite) == 0;
  munmap(page, 4096);
  return prefaults;
}

class DaemonDefaultsTest : public ::testing::Test {
 protected:
  /// Not by DaemonProcess: it passes flags that turn both off, and a flag must not repeat.
  void SetUp() override {
    daemon_ = DaemonProcess::Raw(dir_, {"--memory=" + std::to_string(kMemory), "--listen-tcp=",
                                        "--listen-http=", "--listen-unix=" + dir_ / "s"});
    ASSERT_TRUE(Eventually([&] {
      return daemon_->Output().find(" serving ") != std::string::npos;
    })) << daemon_->Output();
  }

  template <class Condition>
  static bool Eventually(const Condition& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= give_up) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  /// Its memory, the arena it has of that, and its index, in bytes.
  struct Use {
    std::uint64_t resident = 0;
    std::uint64_t arena = 0;
    std::uint64_t index = 0;
  };
  Use Ask() {
    const auto status = Cairnctl(dir_, Endpoint())({"status", "--json"}).Json();
    return {.resident = status.at("rss_bytes"),
            .arena = status.at("tiers").at(0).at("capacity_bytes"),
            .index = status.at("index").at("bytes")};
  }
  void ExpectWithinItsCaps() {
    if (!kSanitized) {  // Shadow memory is no fault of the daemon.
      const Use use = Ask();
      EXPECT_LE(use.resident, kMemory + use.index + 64 * kMiB);
    }
  }

  [[nodiscard]] std::string Endpoint() const { return "unix:" + dir_ / "s"; }

  TempDir dir_;
  std::unique_ptr<ChildProcess> daemon_;
};

TEST_F(DaemonDefaultsTest, ServesAndEndsInOrder) {
  {
    Engine engine(Endpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    const auto stored = engine.Store(Tokens(1, 72), {32, 64});
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    EXPECT_EQ(stored->refused, 0U);
    const auto read = engine.Load(Tokens(1, 72));
    ASSERT_TRUE(read.has_value()) << Why(read);
    EXPECT_EQ(read->resume_at, 64U);
    EXPECT_EQ(read->wrong, 0U);
  }
  ExpectWithinItsCaps();
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->WaitExit(std::chrono::seconds(kSanitized ? 120 : 30)).value_or(-1), 0);
  EXPECT_NE(daemon_->Output().find("stopped leases=0 reservations=0"), std::string::npos)
      << daemon_->Output();
}

TEST_F(DaemonDefaultsTest, TakesItsArenaAtStartAndNoMoreThanItMay) {
  if (!KernelPrefaults()) {
    GTEST_SKIP() << "NOT TESTED: the kernel has no MADV_POPULATE_WRITE";
  }
  const Use first = Ask();
  ASSERT_GE(first.arena, kMemory / 2) << "of the memory, most is for objects";
  EXPECT_TRUE(Eventually([&] { return Ask().resident >= first.arena; }))
      << "resident " << Ask().resident << " of an arena of " << first.arena;
  ExpectWithinItsCaps();
}

}  // namespace
}  // namespace cairn::test

// A process is killed while it writes. What its Flush acknowledged is there afterwards, bit for
// bit; the rest may be gone but is never wrong.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

constexpr int kCycles = 5;

std::size_t SizeOf(std::uint64_t id) { return id % 7 == 0 ? 900'000 : 20'000 + id % 10 * 5000; }

struct Ack {
  std::uint64_t id;
  ColdLocation location;
};

/// Writes from `first` on until it is killed; sends the objects of each flush that succeeded.
[[noreturn]] void WriteForEver(const SsdConfig& config, std::uint64_t first, int acks) {
  auto opened = OpenSsdTier(config);
  if (!opened || !opened->quarantined_to.empty()) {
    ::_exit(3);
  }
  RecoverAll(*opened->tier);
  std::vector<Ack> batch;
  for (std::uint64_t id = first;; ++id) {
    const auto object = MakeObject(id, SizeOf(id));
    const auto location =
        opened->tier->Write(object.record, object.bytes, static_cast<std::uint32_t>(id));
    if (!location) {
      ::_exit(4);
    }
    batch.push_back({.id = id, .location = *location});
    if (id % 5 == 0) {
      if (!opened->tier->Flush()) {
        ::_exit(5);
      }
      const std::size_t bytes = batch.size() * sizeof(Ack);
      if (::write(acks, batch.data(), bytes) != static_cast<ssize_t>(bytes)) {
        ::_exit(6);
      }
      batch.clear();
    }
  }
}

/// 0 when all of `acked` are there and right and nothing else is wrong.
int Verify(const SsdConfig& config, const std::map<std::uint64_t, ColdLocation>& acked) {
  const auto start = std::chrono::steady_clock::now();
  auto opened = OpenSsdTier(config);
  if (!opened || !opened->quarantined_to.empty() || opened->tier->Stats().lost_epochs != 0) {
    return 10;
  }
  const Found found = RecoverAll(*opened->tier);
  if (std::chrono::steady_clock::now() - start > std::chrono::seconds(5)) {
    return 11;
  }
  std::map<std::uint64_t, ColdLocation> present;
  for (const auto& [record, location] : found) {
    const std::uint64_t id = IdOf(record);
    if (!ReadsBack(*opened->tier, location, MakeObject(id, SizeOf(id)))) {
      return 12;
    }
    present[id] = location;
  }
  for (const auto& [id, location] : acked) {
    if (!present.contains(id) || present[id] != location) {
      std::fprintf(stderr, "object %llu was acknowledged and is gone\n",
                   static_cast<unsigned long long>(id));
      return 13;
    }
  }
  return 0;
}

int WaitFor(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

// The parent never opens a store: a process with RocksDB's threads in it must not fork.
TEST(SsdKillTest, AcknowledgedObjectsSurviveEveryKill) {
  const ScratchDirectory scratch;
  auto config = SmallConfig(scratch.path());
  config.capacity_bytes = 2 * kGiB;  // Nothing is evicted.
  std::map<std::uint64_t, ColdLocation> acked;
  std::mt19937_64 random(20);
  std::uint64_t next = 1;
  for (int cycle = 0; cycle < kCycles; ++cycle) {
    int acks[2];
    ASSERT_EQ(::pipe(acks), 0);
    const pid_t writer = ::fork();
    if (writer == 0) {
      ::close(acks[0]);
      WriteForEver(config, next, acks[1]);
    }
    ::close(acks[1]);
    const std::size_t before = acked.size();
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(200 + random() % 500);
    Ack ack{};
    while (::read(acks[0], &ack, sizeof(ack)) == static_cast<ssize_t>(sizeof(ack))) {
      acked[ack.id] = ack.location;
      next = std::max(next, ack.id + 1000);
      if (std::chrono::steady_clock::now() > until) {
        ::kill(writer, SIGKILL);
      }
    }
    ::close(acks[0]);
    const int status = WaitFor(writer);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer stopped by itself: " << WEXITSTATUS(status);
    EXPECT_GT(acked.size(), before);

    const pid_t reader = ::fork();
    if (reader == 0) {
      ::_exit(Verify(config, acked));
    }
    ASSERT_EQ(WEXITSTATUS(WaitFor(reader)), 0) << "cycle " << cycle;
  }
  std::printf("%zu acknowledged objects, none lost in %d kills\n", acked.size(), kCycles);
}

}  // namespace
}  // namespace cairn

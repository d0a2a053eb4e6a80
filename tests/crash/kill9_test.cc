// kill -9 at random moments under load, again and again. The oracle is in this process: what the
// daemon acknowledged as durable must be there and right after every restart; what it did not may
// be gone, and never wrong.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/latency.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kCycles = kSanitized ? 5 : 50;
constexpr int kWriters = 3;
constexpr std::uint32_t kPromptTokens = 72;
constexpr std::uint32_t kBoundary = 64;
constexpr std::uint64_t kSeed = 0xCA1A;

/// Ids of prefixes whose store was acknowledged as durable. Thread-safe.
class Oracle {
 public:
  void Add(std::uint64_t id) {
    const std::lock_guard lock(mu_);
    acknowledged_.push_back(id);
  }
  [[nodiscard]] std::vector<std::uint64_t> All() const {
    const std::lock_guard lock(mu_);
    return acknowledged_;
  }

 private:
  mutable std::mutex mu_;
  std::vector<std::uint64_t> acknowledged_;
};

struct Counts {
  std::atomic<std::uint64_t> stores = 0;
  std::atomic<std::uint64_t> reads = 0;
  std::atomic<std::uint64_t> hits = 0;
  std::atomic<std::uint64_t> wrong = 0;
};

NamespaceSpec Model() {
  NamespaceSpec spec = SmallModel();
  spec.checkpoint_bytes = 16 * kKiB;
  return spec;
}

class Kill9Test : public DaemonTest {
 protected:
  ClientOptions Options(bool tcp) {
    ClientOptions options;
    options.endpoint = tcp ? daemon().TcpEndpoint() : daemon().UnixEndpoint();
    options.breaker_failures = 0;
    return options;
  }

  /// Stores new prefixes, every third durably, until `stop`. Each id is stored once only, so an
  /// acknowledgement covers all of its objects.
  void Write(int cycle, int writer, const std::atomic<bool>& stop, Oracle& oracle, Counts& counts) {
    Engine engine(Options(writer == 0), Model());
    std::uint64_t id =
        (static_cast<std::uint64_t>(cycle) << 32U) + (static_cast<std::uint64_t>(writer) << 24U);
    if (!engine.Open(In(milliseconds(5000)))) {
      return;
    }
    for (; !stop; ++id) {
      const bool durable = id % 3 == 0;
      const auto stored =
          engine.Store(Tokens(id, kPromptTokens), {32, kBoundary}, durable, In(milliseconds(5000)));
      if (!stored) {
        return;  // The daemon is gone.
      }
      counts.stores += 1;
      if (durable && stored->refused == 0 && stored->present == 0) {
        oracle.Add(id);
      }
      if (!durable) {
        std::this_thread::sleep_for(milliseconds(2));  // Keeps the whole run below the disk's cap.
      }
    }
  }

  void Read(std::uint64_t seed, const std::atomic<bool>& stop, const Oracle& oracle,
            Counts& counts) {
    std::mt19937_64 random(seed);
    Engine engine(Options(false), Model());
    if (!engine.Open(In(milliseconds(5000)))) {
      return;
    }
    while (!stop) {
      const std::vector<std::uint64_t> known = oracle.All();
      if (known.empty()) {
        std::this_thread::sleep_for(milliseconds(1));
        continue;
      }
      // One that was acknowledged, or its neighbour, which may or may not be there.
      const std::uint64_t id = known[random() % known.size()] + random() % 2;
      const auto read = engine.Load(Tokens(id, kPromptTokens), In(milliseconds(5000)));
      if (!read) {
        if (read.error().code == ErrorCode::kUnavailable) {
          return;
        }
        continue;
      }
      counts.reads += 1;
      counts.hits += read->resume_at != 0 ? 1 : 0;
      counts.wrong += read->wrong;
    }
  }

  /// How many of `ids` are not there, whole and right.
  std::uint64_t Missing(const std::vector<std::uint64_t>& ids, Counts& counts) {
    Engine engine(Options(false), Model());
    EXPECT_TRUE(engine.Open());
    std::uint64_t missing = 0;
    for (const std::uint64_t id : ids) {
      const auto read = engine.Load(Tokens(id, kPromptTokens));
      counts.reads += 1;
      counts.wrong += read ? read->wrong : 0;
      if (!read || read->resume_at != kBoundary) {
        ADD_FAILURE() << "acknowledged " << std::hex << id << " is lost: "
                      << (read ? "resumes at " + std::to_string(read->resume_at) : Why(read));
        if (++missing > 5) {
          break;
        }
      }
    }
    return missing;
  }
};

TEST_F(Kill9Test, AcknowledgedDurableObjectsSurvive) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "ssd"), "--ssd=2GiB", "--ssd-min-free=1MiB",
                   "--ssd-flush-ms=200"};
  Oracle oracle;
  Counts counts;
  Latencies reopen;
  std::mt19937_64 random(kSeed);
  std::size_t verified = 0;
  ASSERT_TRUE(StartDaemon(options));
  for (int cycle = 0; cycle < kCycles && !HasFailure(); ++cycle) {
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (int writer = 0; writer < kWriters; ++writer) {
      threads.emplace_back([&, writer] { Write(cycle, writer, stop, oracle, counts); });
    }
    threads.emplace_back([&, seed = random()] { Read(seed, stop, oracle, counts); });
    std::this_thread::sleep_for(milliseconds(50 + random() % 351));
    daemon().Kill();
    stop = true;
    for (std::thread& thread : threads) {
      thread.join();
    }
    ASSERT_TRUE(daemon().Start());
    reopen.Add(daemon().ready_after());
    EXPECT_EQ(daemon().Log().find("quarantined"), std::string::npos) << daemon().Log();
    EXPECT_EQ(daemon().Log().find("ssd_lost_durable_writes"), std::string::npos) << daemon().Log();
    // All of this cycle, and some of those before.
    const std::vector<std::uint64_t> all = oracle.All();
    std::vector<std::uint64_t> ids(all.begin() + static_cast<std::ptrdiff_t>(verified), all.end());
    for (int i = 0; i < 50 && verified != 0; ++i) {
      ids.push_back(all[random() % verified]);
    }
    verified = all.size();
    EXPECT_EQ(Missing(ids, counts), 0U) << "cycle " << cycle << ", seed " << kSeed;
    EXPECT_EQ(counts.wrong, 0U) << "cycle " << cycle;
  }
  EXPECT_EQ(Missing(oracle.All(), counts), 0U) << "in the end";
  EXPECT_EQ(counts.wrong, 0U);
  EXPECT_GT(oracle.All().size(), static_cast<std::size_t>(kCycles)) << "hardly anything was tested";
  EXPECT_EQ(daemon().Counter("checksum_failures"), 0U);
  Report(std::to_string(kCycles) + " kill -9 cycles: " + std::to_string(counts.stores) +
         " stores, " + std::to_string(oracle.All().size()) + " acknowledged durable, 0 lost; " +
         std::to_string(counts.reads) + " reads, " + std::to_string(counts.wrong) + " wrong");
  Report("reopen after kill -9: " + reopen.Text());
  if (!kSanitized) {
    EXPECT_LE(reopen.Quantile(0.99), 2e6);
  }
}

}  // namespace
}  // namespace cairn::test

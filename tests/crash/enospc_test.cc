// A full disk: reads go on, stores are taken in memory, durable ones are refused aloud, what was
// learned is kept as it was saved last, and all comes back by itself once there is room.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/latency.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// A tmpfs that only this process and its children see; it goes with them.
class SmallDisk {
 public:
  SmallDisk(const std::string& path, const std::string& size) : path_(path) {
    std::filesystem::create_directories(path);
    // A mount namespace of our own: nothing stays mounted, not even after kill -9.
    mounted_ = unshare(CLONE_NEWNS) == 0 &&
               mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               mount("tmpfs", path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
    error_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) {
      umount2(path_.c_str(), MNT_DETACH);
    }
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::string filler() const { return path_ + "/filler"; }
  /// Leaves about `spare` bytes.
  void FillUp(std::uint64_t spare) const {
    std::ofstream file(filler(), std::ios::binary);
    const std::string piece(64 * kKiB, 'x');
    while (std::filesystem::space(path_).available > spare &&
           file.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
    }
  }
  void Free() const { std::filesystem::remove(filler()); }

 private:
  std::string path_;
  bool mounted_ = false;
  std::string error_;
};

NamespaceSpec Model(const char* name) {
  NamespaceSpec spec = SmallModel();
  spec.model = name;
  spec.checkpoint_bytes = 256 * kKiB;
  return spec;
}

/// A daemon beside a small disk of its own, at "disk".
class SmallDiskTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    disk_.emplace(dir_ / "disk", "128m");
    if (!disk_->mounted()) {
      GTEST_SKIP() << "NOT TESTED: a tmpfs cannot be mounted here (" << disk_->error()
                   << "); run as root to test a full disk";
    }
  }

  std::optional<SmallDisk> disk_;
};

/// What the daemon keeps free; 0 lets the disk run full under RocksDB.
class EnospcTest : public SmallDiskTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void CheckAll(Engine& engine, std::uint64_t from, std::uint64_t to, const char* when) {
    for (std::uint64_t p = from; p < to; ++p) {
      const auto read = engine.Load(Tokens(p, 40));
      ASSERT_TRUE(read.has_value()) << when << ": " << Why(read);
      EXPECT_EQ(read->wrong, 0U) << when << ", prefix " << p;
      EXPECT_EQ(read->resume_at, 32U) << when << ", prefix " << p;
    }
  }
};

TEST_P(EnospcTest, FullDiskCostsDurabilityOnlyAndOnlyForATime) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "disk/ssd"), "--ssd=96MiB", "--ssd-flush-ms=500",
                   std::string("--ssd-min-free=") + GetParam()};
  ASSERT_TRUE(StartDaemon(options));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("first"));
  ASSERT_TRUE(engine.Open());
  constexpr std::uint64_t kBefore = 40;
  for (std::uint64_t p = 0; p < kBefore; ++p) {
    const auto stored = engine.Store(Tokens(p, 40), {32}, true);
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    ASSERT_EQ(stored->refused, 0U);
  }
  // Some that nobody waits for: their flush meets the full disk.
  constexpr std::uint64_t kHasty = 8;
  for (std::uint64_t p = kBefore; p < kBefore + kHasty; ++p) {
    ASSERT_TRUE(engine.Store(Tokens(p, 40), {32}));
  }
  disk_->FillUp(0);
  std::this_thread::sleep_for(milliseconds(800));
  Report("SSD tier with a full disk: " + daemon().Status().tiers(1).state());

  // Until the disk is noticed a few may still fit; then each durable store must say no.
  std::uint64_t next = kBefore + kHasty;
  std::uint64_t refusals = 0;
  std::vector<std::uint64_t> acknowledged;
  for (; next < kBefore + kHasty + 40; ++next) {
    const auto stored = engine.Store(Tokens(next, 40), {32}, true);
    if (stored && stored->refused == 0) {
      acknowledged.push_back(next);
      continue;
    }
    ++refusals;
    if (!stored) {
      EXPECT_TRUE(stored.error().code == ErrorCode::kNoSpace ||
                  stored.error().code == ErrorCode::kIo ||
                  stored.error().code == ErrorCode::kOverloaded)
          << Why(stored);
      EXPECT_NE(stored.error().message.find("durable"), std::string::npos) << Why(stored);
    }
  }
  EXPECT_GT(refusals, 20U) << "the disk was full, and durable stores were acknowledged";
  CheckAll(engine, 0, next, "disk full: all of it is in memory or on disk");
  Engine late(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("opened while full"));
  ASSERT_TRUE(late.Open());
  ASSERT_TRUE(late.Store(Tokens(1, 40), {32})) << "memory still takes stores";

  disk_->Free();
  const auto freed = Clock::now();
  int in_a_row = 0;
  for (; in_a_row < 5 && Clock::now() - freed < std::chrono::seconds(20); ++next) {
    const auto stored = engine.Store(Tokens(next, 40), {32}, true);
    const bool durable = stored && stored->refused == 0;
    if (durable) {
      acknowledged.push_back(next);
    }
    in_a_row = durable ? in_a_row + 1 : 0;
    std::this_thread::sleep_for(milliseconds(durable ? 0 : 100));
  }
  const auto took = std::chrono::duration<double>(Clock::now() - freed).count();
  Report("min free " + std::string(GetParam()) + ": durable again " + std::to_string(took) +
         " s after space came back; refused while full: " + std::to_string(refusals) + " of 40");
  EXPECT_EQ(in_a_row, 5);
  EXPECT_LE(took, 10.0);
  const auto in_late = late.Store(Tokens(2, 40), {32}, true);
  ASSERT_TRUE(in_late.has_value()) << Why(in_late);
  EXPECT_EQ(in_late->refused, 0U);

  // What was acknowledged, before or after, survives a kill; nothing is wrong.
  daemon().Kill();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(daemon().Log().find("quarantined"), std::string::npos) << daemon().Log();
  Engine again(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("first"));
  ASSERT_TRUE(again.Open());
  CheckAll(again, 0, kBefore, "after a restart");
  for (const std::uint64_t p : acknowledged) {
    CheckAll(again, p, p + 1, "acknowledged, after a restart");
  }
  Engine late_again(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("opened while full"));
  ASSERT_TRUE(late_again.Open());
  CheckAll(late_again, 2, 3, "namespace that was opened while the disk was full");
}

TEST_P(EnospcTest, StartsWithoutTheTierWhenTheDiskIsFull) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "disk/ssd"), "--ssd=96MiB",
                   std::string("--ssd-min-free=") + GetParam()};
  ASSERT_TRUE(StartDaemon(options));
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("first"));
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(0, 40), {32}, true));
  }
  daemon().Stop();
  disk_->FillUp(0);
  ASSERT_TRUE(daemon().Start());
  Report("SSD tier after a start with a full disk: " + daemon().Status().tiers(1).state());
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("first"));
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(1, 40), {32}));
    CheckAll(engine, 1, 2, "disk full at start: memory serves");
  }
  daemon().Stop();
  disk_->Free();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(daemon().Status().tiers(1).state(), "ok");
  EXPECT_EQ(daemon().Log().find("quarantined"), std::string::npos) << daemon().Log();
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model("first"));
  ASSERT_TRUE(engine.Open());
  CheckAll(engine, 0, 1, "what was on the disk before it was full");
}

/// What the planner learns is saved to a small disk, five times a second.
class LearnedOnAFullDisk : public SmallDiskTest {
 protected:
  [[nodiscard]] DaemonProcess::Options Learning() const {
    DaemonProcess::Options options;
    options.flags = {"--planner=trie", "--placement-file=" + file_, "--placement-save-ms=200"};
    return options;
  }
  /// In the tier's directory instead, on that disk.
  [[nodiscard]] DaemonProcess::Options WithTier() const {
    DaemonProcess::Options options;
    options.flags = {"--planner=trie", "--ssd-path=" + (dir_ / "disk/ssd"), "--ssd=96MiB",
                     "--ssd-min-free=8MiB"};
    return options;
  }
  /// Whether `condition` comes true within `limit`.
  template <class Condition>
  static bool Within(milliseconds limit, const Condition& condition) {
    const auto until = Clock::now() + limit;
    while (!condition() && Clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    return condition();
  }
  [[nodiscard]] double Failures() const {
    const auto metrics = ParseMetrics(HttpGet(daemon_->http_port(), "/metrics").body);
    const auto it = metrics.find("cairn_placement_save_failures_total");
    return it == metrics.end() ? -1 : it->second;
  }
  /// Until nothing can be saved any more: what a save held meanwhile is free afterwards.
  bool FillUp() {
    for (int round = 0; round < 10; ++round) {
      disk_->FillUp(0);
      const double before = Failures();
      if (Within(milliseconds(1000), [&] { return Failures() >= before + 2; })) {
        return true;
      }
    }
    return false;
  }
  void Ask(std::uint64_t first, std::uint64_t count) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    for (std::uint64_t number = first; number < first + count; ++number) {
      const auto hit = engine.client().Match(engine.Prompt(Tokens(number, 64)), Soon());
      ASSERT_TRUE(hit.has_value()) << Why(hit);
      ASSERT_TRUE(engine.client().Release(*hit, Soon()));
    }
  }
  std::uint64_t Places() {
    return Cairnctl(dir_, daemon().UnixEndpoint())({"placement", "show", "--json"})
        .Json()
        .at("places");
  }

  std::string file_ = dir_ / "disk/learned";
};

TEST_F(LearnedOnAFullDisk, StaysAsItWasSavedLast) {
  ASSERT_TRUE(StartDaemon(Learning()));
  Ask(0, 50);
  EXPECT_EQ(Failures(), 0);
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  ASSERT_TRUE(FillUp());
  const std::string saved = ReadFile(file_);

  // More is learned than can be saved. The daemon says so and goes on.
  Ask(100, 50);
  const double before = Failures();
  EXPECT_TRUE(Within(std::chrono::seconds(5), [&] { return Failures() > before + 1; }));
  EXPECT_EQ(ReadFile(file_), saved);
  EXPECT_FALSE(std::filesystem::exists(file_ + ".tmp"));
  EXPECT_NE(daemon().Log().find("placement_not_saved"), std::string::npos);
  EXPECT_NE(daemon().Log().find("No space left on device"), std::string::npos) << daemon().Log();
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(7, 40), {32}));
    const auto read = engine.Load(Tokens(7, 40));
    ASSERT_TRUE(read.has_value()) << Why(read);
    EXPECT_EQ(read->resume_at, 32U);
    EXPECT_EQ(read->wrong, 0U);
  }
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  const auto exported = ctl({"placement", "export", dir_ / "disk/export", "--json"});
  EXPECT_EQ(exported.code, 1);
  EXPECT_EQ(exported.Error().at("code"), "no_space") << exported.err;
  EXPECT_FALSE(std::filesystem::exists(dir_ / "disk/export"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "disk/export.tmp"));

  // A daemon that ends now has lost what it learned since, and nothing else.
  daemon().Stop();
  EXPECT_EQ(ReadFile(file_), saved);
  EXPECT_FALSE(std::filesystem::exists(file_ + ".tmp"));
  ASSERT_TRUE(daemon().Start());
  EXPECT_NE(daemon().Log().find("placement_loaded"), std::string::npos) << daemon().Log();
  Ask(200, 1);
  EXPECT_EQ(Places(), 1U + 50 + 1);

  ASSERT_TRUE(FillUp());
  disk_->Free();
  EXPECT_TRUE(Within(std::chrono::seconds(5), [&] {
    return daemon().Log().find("placement_saved_again") != std::string::npos;
  })) << daemon().Log();
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  Ask(300, 1);
  EXPECT_EQ(Places(), 1U + 50 + 1 + 1);
}

// Where the disk is too full for the SSD tier, what was learned is on it all the same.
TEST_F(LearnedOnAFullDisk, IsReadWithoutTheTier) {
  ASSERT_TRUE(StartDaemon(WithTier()));
  Ask(0, 50);
  daemon().Stop();
  const std::string saved = ReadFile(dir_ / "disk/ssd/placement");
  disk_->FillUp(0);
  ASSERT_TRUE(daemon().Start());
  ASSERT_NE(daemon().Status().tiers(1).state(), "ok");
  Ask(100, 1);
  EXPECT_EQ(Places(), 1U + 50 + 1);
  daemon().Stop();
  EXPECT_EQ(ReadFile(dir_ / "disk/ssd/placement"), saved);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "disk/ssd/placement.tmp"));
}

// A directory that could not be claimed must stay empty: with a file in it, it would be nobody's
// store when there is room again.
TEST_F(LearnedOnAFullDisk, LeavesADirectoryAloneThatIsNotTheTiersYet) {
  std::filesystem::create_directories(dir_ / "disk/ssd");
  disk_->FillUp(0);
  ASSERT_TRUE(StartDaemon(WithTier()));
  ASSERT_NE(daemon().Status().tiers(1).state(), "ok");
  Ask(0, 10);
  disk_->Free();
  daemon().Stop();
  EXPECT_FALSE(std::filesystem::exists(dir_ / "disk/ssd/placement"));
  ASSERT_TRUE(daemon().Start()) << daemon().Log();
  EXPECT_EQ(daemon().Status().tiers(1).state(), "ok");
}

INSTANTIATE_TEST_SUITE_P(MinFree, EnospcTest, ::testing::Values("0", "8MiB"),
                         [](const auto& min_free) {
                           return std::string("keeps_") + min_free.param;
                         });

}  // namespace
}  // namespace cairn::test

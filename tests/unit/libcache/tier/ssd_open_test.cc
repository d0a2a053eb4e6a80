// Which directories the tier takes, which it leaves alone, and what it does with a broken store.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "libcache/tier/ssd_files.h"
#include "libcache/tier/ssd_record.h"
#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

void Put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string Get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// One object, flushed and closed.
ColdLocation Store(const std::string& path, const TestObject& object) {
  const auto opened = MustOpen(SmallConfig(path));
  RecoverAll(*opened.tier);
  const auto location = opened.tier->Write(object.record, object.bytes, 1).value();
  EXPECT_TRUE(opened.tier->Flush().has_value());
  return location;
}

TEST(SsdOpenTest, RefusesSizesThatMakeNoSense) {
  const ScratchDirectory scratch;
  std::vector<SsdConfig> configs(6, SmallConfig(scratch.path() + "/new"));
  configs[0].path.clear();
  configs[1].capacity_bytes = kMiB;
  configs[2].segment_bytes = 32 * kMiB;
  configs[3].write_buffer_bytes = 1;
  configs[4].read_threads = 1000;
  configs[5].segment_bytes = 1;
  for (const auto& config : configs) {
    const auto opened = OpenSsdTier(config);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(fs::exists(scratch.path() + "/new"));
}

TEST(SsdOpenTest, MakesTheDirectoryAndWorksOnAFreshFileSystem) {
  const ScratchDirectory scratch;
  fs::create_directories(scratch.path() + "/a/b/lost+found");
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path() + "/a/b")).quarantined_to, "");
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path() + "/c/d")).quarantined_to, "");
  // A start that was cut short while it made the marker.
  fs::create_directory(scratch.path() + "/e");
  Put(scratch.path() + "/e/CAIRN_SSD.tmp", "cairn-");
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path() + "/e")).quarantined_to, "");
}

TEST(SsdOpenTest, LeavesAForeignDirectoryUntouched) {
  const ScratchDirectory scratch;
  Put(scratch.path() + "/thesis.tex", "important");
  const auto opened = OpenSsdTier(SmallConfig(scratch.path()));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(opened.error().message.find("thesis.tex"), std::string::npos);
  EXPECT_NE(opened.error().message.find("another path"), std::string::npos);
  EXPECT_EQ(ListDirectory(scratch.path()).value(), std::vector<std::string>{"thesis.tex"});
  EXPECT_EQ(Get(scratch.path() + "/thesis.tex"), "important");
}

TEST(SsdOpenTest, LeavesAnotherFormatVersionUntouched) {
  const ScratchDirectory scratch;
  const auto object = MakeObject(1, 100'000);
  const auto location = Store(scratch.path(), object);
  const std::string marker = scratch.path() + "/CAIRN_SSD";
  Put(marker, FormatStamp("cairn-ssd", 2));
  const auto opened = OpenSsdTier(SmallConfig(scratch.path()));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(opened.error().message.find("format 2"), std::string::npos);
  EXPECT_EQ(Get(marker), FormatStamp("cairn-ssd", 2));

  Put(marker, FormatStamp("cairn-ssd", kSsdFormat));
  const auto again = MustOpen(SmallConfig(scratch.path()));
  EXPECT_EQ(RecoverAll(*again.tier).size(), 1U);
  EXPECT_TRUE(ReadsBack(*again.tier, location, object));
}

TEST(SsdOpenTest, SaysWhatTheSystemRefused) {
  const ScratchDirectory scratch;
  Put(scratch.path() + "/file", "x");
  const auto below_file = OpenSsdTier(SmallConfig(scratch.path() + "/file/ssd"));
  ASSERT_FALSE(below_file.has_value());
  EXPECT_EQ(below_file.error().code, ErrorCode::kIo);
  EXPECT_NE(below_file.error().message.find(scratch.path() + "/file/ssd"), std::string::npos);
  EXPECT_NE(below_file.error().message.find("Not a directory"), std::string::npos);
}

// In a child that gives up root, which may read and write anything.
TEST(SsdOpenTest, ADirectoryOfAnotherUserIsPermissionDenied) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/ssd";
  fs::create_directory(path);
  fs::permissions(scratch.path(), fs::perms::all);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_exec);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) {
      ::_exit(2);
    }
    const auto opened = OpenSsdTier(SmallConfig(path));
    ::_exit(!opened && opened.error().code == ErrorCode::kPermissionDenied ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  fs::permissions(path, fs::perms::owner_all);
}

TEST(SsdOpenTest, ADirectoryInUseIsUnavailable) {
  const ScratchDirectory scratch;
  {
    const auto first = MustOpen(SmallConfig(scratch.path()));
    const auto second = OpenSsdTier(SmallConfig(scratch.path()));
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(second.error().message.find("in use by another process"), std::string::npos);
  }
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path())).quarantined_to, "");
}

TEST(SsdOpenTest, AStoreThatWillNotOpenIsMovedAsideAndOnlyOneIsKept) {
  const ScratchDirectory scratch;
  for (int round = 1; round <= 3; ++round) {
    Store(scratch.path(), MakeObject(1, 200'000));
    Put(scratch.path() + "/db/CURRENT", "MANIFEST-999999\n");
    const auto start = std::chrono::steady_clock::now();
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_EQ(opened.quarantined_to, scratch.path() + "/quarantine-" + std::to_string(round));
    EXPECT_NE(opened.quarantine_reason, "");
    EXPECT_TRUE(fs::exists(opened.quarantined_to + "/CURRENT"));
    EXPECT_FALSE(fs::exists(scratch.path() + "/quarantine-" + std::to_string(round - 1)));
    EXPECT_GE(opened.tier->Stats().lost_epochs, 1U) << "durable data is gone: it must be told";
    EXPECT_TRUE(RecoverAll(*opened.tier).empty());
    const auto object = MakeObject(2, 100'000);
    const auto location = opened.tier->Write(object.record, object.bytes, 2);
    EXPECT_TRUE(ReadsBack(*opened.tier, location.value(), object));
  }
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path())).tier->Stats().lost_epochs, 0U)
      << "a loss is reported once";
}

// Quarantined bytes count against the cap, so they go before anything that still serves.
TEST(SsdOpenTest, TheQuarantineMakesRoomWhenRoomIsNeeded) {
  const ScratchDirectory scratch;
  const auto config = SmallConfig(scratch.path());
  {
    const auto opened = MustOpen(config);
    for (std::uint32_t id = 0; id < 50; ++id) {
      const auto object = MakeObject(id, kMiB);
      ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    }
  }
  Put(scratch.path() + "/db/CURRENT", "nonsense");
  const auto opened = MustOpen(config);
  ASSERT_NE(opened.quarantined_to, "");
  std::size_t gone = 0;
  opened.tier->SetGoneListener([&](auto cookies) { gone += cookies.size(); });
  for (std::uint32_t id = 0; id < 50; ++id) {
    const auto object = MakeObject(id, kMiB);
    ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    ASSERT_LE(DiskUse(scratch.path()), config.capacity_bytes);
  }
  EXPECT_EQ(gone, 0U);
  EXPECT_FALSE(fs::exists(opened.quarantined_to));
}

// The store of yesterday under today's epoch file: what a lost manifest or a restored backup is.
TEST(SsdOpenTest, ARolledBackStoreIsReported) {
  const ScratchDirectory scratch;
  const auto first = MakeObject(1, 100'000);
  const auto location = Store(scratch.path(), first);
  fs::copy(scratch.path() + "/db", scratch.path() + "/old", fs::copy_options::recursive);
  const auto second = MakeObject(2, 100'000);
  const auto lost = Store(scratch.path(), second);
  fs::remove_all(scratch.path() + "/db");
  fs::rename(scratch.path() + "/old", scratch.path() + "/db");
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    EXPECT_EQ(opened.quarantined_to, "");
    EXPECT_EQ(opened.tier->Stats().lost_epochs, 1U);
    EXPECT_EQ(RecoverAll(*opened.tier).size(), 1U);
    EXPECT_TRUE(ReadsBack(*opened.tier, location, first));
    EXPECT_FALSE(ReadsBack(*opened.tier, lost, second));
  }
  EXPECT_EQ(MustOpen(SmallConfig(scratch.path())).tier->Stats().lost_epochs, 0U);
}

}  // namespace
}  // namespace cairn

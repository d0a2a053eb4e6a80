// Every kind of file is damaged in every way. Whatever happens: no wrong bytes, the tier opens
// within five seconds (empty if need be), and then it works.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <span>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

enum class Damage { kFlipBit, kZeroPage, kTruncate, kRemove, kGarbage, kCutRecord };
using NamedDamage = std::pair<Damage, const char*>;

constexpr std::array<NamedDamage, 4> kDamages = {{{Damage::kFlipBit, "flipped bit"},
                                                  {Damage::kZeroPage, "zeroed page"},
                                                  {Damage::kTruncate, "truncated"},
                                                  {Damage::kRemove, "removed"}}};
// Writes bypass the write-ahead log, so its file is empty and has nothing to flip or to cut off.
constexpr std::array<NamedDamage, 3> kLogDamages = {{{Damage::kGarbage, "random bytes"},
                                                     {Damage::kCutRecord, "a record cut short"},
                                                     {Damage::kRemove, "removed"}}};

std::string ContentOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Header of a log record (checksum, length, type) that promises 1000 bytes, and ten of them.
std::string CutRecord() {
  const std::string checksum = "abcd";
  const std::string length = "\xE8\x03";
  const std::string whole_record = "\x01";
  return checksum + length + whole_record + "ten bytes.";
}

/// False when the file is as it was.
bool Inflict(const std::string& path, Damage damage, std::mt19937_64& random) {
  if (damage == Damage::kRemove) {
    return fs::remove(path);
  }
  const std::string before = ContentOf(path);
  std::string after = before;
  const std::size_t at = before.empty() ? 0 : random() % before.size();
  switch (damage) {
    case Damage::kFlipBit:
      if (!after.empty()) {
        after[at] = static_cast<char>(after[at] ^ (1 << (random() % 8)));
      }
      break;
    case Damage::kZeroPage: {
      const std::size_t page = at / 4096 * 4096;
      const std::size_t length = std::min<std::size_t>(4096, after.size() - page);
      after.replace(page, length, length, '\0');
      break;
    }
    case Damage::kTruncate: after.resize(at); break;
    case Damage::kGarbage:
      after.resize(4096);
      std::generate(after.begin(), after.end(), [&] { return static_cast<char>(random()); });
      break;
    case Damage::kCutRecord: after = CutRecord(); break;
    case Damage::kRemove: break;  // Done above.
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << after;
  return after != before;
}

std::size_t SizeOf(std::uint64_t id) { return id % 4 == 0 ? 1'200'000 : 30'000 + id * 1000; }

constexpr std::uint32_t kObjects = 16;

/// A store with two runs behind it, flushed several times, so that every kind of file exists.
class SsdCorruptionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    pristine_ = new ScratchDirectory();
    locations_ = new std::map<std::uint64_t, ColdLocation>();
    for (std::uint32_t run = 0; run < 2; ++run) {
      const auto opened = MustOpen(SmallConfig(pristine_->path()));
      RecoverAll(*opened.tier);
      for (std::uint32_t id = run; id < kObjects; id += 2) {
        const auto object = MakeObject(id, SizeOf(id));
        (*locations_)[id] = opened.tier->Write(object.record, object.bytes, id).value();
        if (id % 5 == 0) {
          ASSERT_TRUE(opened.tier->Flush().has_value());
        }
      }
      ASSERT_TRUE(opened.tier->Flush().has_value());
    }
  }
  static void TearDownTestSuite() {
    delete pristine_;
    delete locations_;
  }

  /// Files of the store, relative to it, whose name satisfies `wanted`.
  static std::vector<std::string> Files(const std::function<bool(const std::string&)>& wanted) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(pristine_->path())) {
      if (entry.is_regular_file() && wanted(entry.path().filename().string())) {
        files.push_back(fs::relative(entry.path(), pristine_->path()).string());
      }
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  /// Damages one file of a copy, opens it, reads everything and writes something. Returns how many
  /// objects were still there.
  static int Survivors(const std::string& file, Damage damage, std::uint64_t seed) {
    const ScratchDirectory scratch;
    fs::copy(pristine_->path(), scratch.path(), fs::copy_options::recursive);
    std::mt19937_64 random(seed);
    EXPECT_TRUE(Inflict(scratch.path() + "/" + file, damage, random)) << "this tests nothing";
    const auto start = std::chrono::steady_clock::now();
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    const Found found = RecoverAll(*opened.tier);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    int survivors = 0;
    for (const auto& [record, location] : found) {
      const std::uint64_t id = IdOf(record);
      survivors += ReadsBack(*opened.tier, location, MakeObject(id, SizeOf(id))) ? 1 : 0;
    }
    // What was durable and is gone must show somewhere.
    if (survivors < static_cast<int>(kObjects)) {
      const auto stats = opened.tier->Stats();
      EXPECT_TRUE(!opened.quarantined_to.empty() || stats.checksum_failures > 0 ||
                  stats.lost_epochs > 0)
          << static_cast<int>(kObjects) - survivors << " objects lost silently";
    }
    const auto fresh = MakeObject(1000, 100'000);
    const auto location = opened.tier->Write(fresh.record, fresh.bytes, 1000);
    EXPECT_TRUE(location.has_value() && ReadsBack(*opened.tier, *location, fresh));
    EXPECT_TRUE(opened.tier->Flush().has_value());
    EXPECT_TRUE(opened.tier->Clear().has_value()) << "damage must not keep the space for ever";
    return survivors;
  }

  static void DamageAll(const std::function<bool(const std::string&)>& wanted, int rounds,
                        std::span<const NamedDamage> damages = kDamages) {
    const auto files = Files(wanted);
    ASSERT_FALSE(files.empty());
    for (const auto& [damage, name] : damages) {
      int survivors = 0;
      int trials = 0;
      for (int round = 0; round < rounds; ++round) {
        const auto seed = static_cast<std::uint64_t>(round) * 7919 + 1;
        const std::string& file = files[seed % files.size()];
        SCOPED_TRACE(file + " " + name + ", seed " + std::to_string(seed));
        survivors += Survivors(file, damage, seed);
        ++trials;
      }
      std::printf("%s: %d of %d objects survived\n", name, survivors,
                  trials * static_cast<int>(kObjects));
    }
  }

  static bool EndsWith(const std::string& name, const std::string& end) {
    return name.size() >= end.size() &&
           name.compare(name.size() - end.size(), end.size(), end) == 0;
  }

  static ScratchDirectory* pristine_;
  static std::map<std::uint64_t, ColdLocation>* locations_;
};

ScratchDirectory* SsdCorruptionTest::pristine_ = nullptr;
std::map<std::uint64_t, ColdLocation>* SsdCorruptionTest::locations_ = nullptr;

TEST_F(SsdCorruptionTest, Tables) {
  DamageAll([](const std::string& name) { return EndsWith(name, ".sst"); }, 4);
}
TEST_F(SsdCorruptionTest, Blobs) {
  DamageAll([](const std::string& name) { return EndsWith(name, ".blob"); }, 4);
}
TEST_F(SsdCorruptionTest, Manifest) {
  DamageAll([](const std::string& name) { return name.starts_with("MANIFEST"); }, 3);
}
TEST_F(SsdCorruptionTest, Current) {
  DamageAll([](const std::string& name) { return name == "CURRENT"; }, 1);
}
TEST_F(SsdCorruptionTest, OptionsAndIdentity) {
  DamageAll(
      [](const std::string& name) { return name.starts_with("OPTIONS") || name == "IDENTITY"; }, 2);
}
TEST_F(SsdCorruptionTest, WriteAheadLog) {
  DamageAll([](const std::string& name) { return EndsWith(name, ".log"); }, 2, kLogDamages);
}
TEST_F(SsdCorruptionTest, DurableEpoch) {
  DamageAll([](const std::string& name) { return name == "DURABLE"; }, 2);
}

// A damaged marker in a directory that is otherwise ours: the store itself knows its format.
TEST_F(SsdCorruptionTest, Marker) {
  for (const Damage damage : {Damage::kFlipBit, Damage::kZeroPage, Damage::kTruncate}) {
    EXPECT_EQ(Survivors("CAIRN_SSD", damage, 3), static_cast<int>(kObjects));
  }
}

}  // namespace
}  // namespace cairn

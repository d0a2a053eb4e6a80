// Damages one file of the SSD tier at a time and starts a daemon on it. Whatever was damaged: it
// serves within 5 seconds, cold if need be, serves nothing wrong, and says what it lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/latency.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPrefixes = 40;
constexpr std::size_t kFilesPerClass = 3;

NamespaceSpec Model() {
  NamespaceSpec spec = SmallModel();
  spec.kv_bytes_per_token = 512;
  spec.checkpoint_bytes = 128 * kKiB;
  return spec;
}

enum class Damage { kFlip, kZero, kTruncate, kDelete, kGarbage, kCutRecord };
const char* Name(Damage damage) {
  constexpr std::array<const char*, 6> kNames = {"flip",   "zero",    "truncate",
                                                 "delete", "garbage", "cut record"};
  return kNames[static_cast<std::size_t>(damage)];
}

/// The tier's writes bypass the WAL, so its file is empty and has nothing to flip or to cut off.
std::vector<Damage> DamagesOf(const std::string& file_class) {
  using enum Damage;
  return file_class == "WAL" ? std::vector{kGarbage, kCutRecord, kDelete}
                             : std::vector{kFlip, kZero, kTruncate, kDelete};
}

std::string Garbage() {
  std::mt19937_64 random(1);
  std::string bytes(4096, '\0');
  for (char& c : bytes) {
    c = static_cast<char>(random());
  }
  return bytes;
}

/// Header of a WAL record (checksum, length, type) that promises 1000 bytes, and ten of them.
std::string CutRecord() {
  const std::string checksum = "abcd";
  const std::string length = "\xE8\x03";
  const std::string whole_record = "\x01";
  return checksum + length + whole_record + "ten bytes.";
}

/// False when the file is as it was.
bool Apply(Damage damage, const fs::path& path) {
  std::string content = ReadFile(path);
  const std::string before = content;
  switch (damage) {
    case Damage::kFlip:
      if (!content.empty()) {
        content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 0x10);
      }
      break;
    case Damage::kZero: {
      const std::size_t length = std::min<std::size_t>(4096, content.size());
      const std::size_t start = (content.size() - length) / 2;
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(start), length, '\0');
      break;
    }
    case Damage::kTruncate: content.resize(content.size() / 2); break;
    case Damage::kDelete: return fs::remove(path);
    case Damage::kGarbage: content = Garbage(); break;
    case Damage::kCutRecord: content = CutRecord(); break;
  }
  WriteFile(path, content);
  return content != before;
}

/// Class of a file in the directory of the tier; nullopt for those that hold nothing.
std::optional<std::string> ClassOf(const fs::path& path) {
  const std::string name = path.filename();
  const std::string extension = path.extension();
  if (extension == ".sst" || extension == ".blob" || extension == ".log") {
    return extension == ".sst" ? "SST" : extension == ".blob" ? "blob" : "WAL";
  }
  for (const char* const known :
       {"MANIFEST", "CURRENT", "OPTIONS", "IDENTITY", "CAIRN_SSD", "DURABLE"}) {
    if (name.rfind(known, 0) == 0) {
      return known;
    }
  }
  return std::nullopt;
}

struct Outcome {
  bool served = false;
  double ready_ms = 0;
  std::uint64_t hits = 0;
  std::uint64_t shallow = 0;
  std::uint64_t wrong = 0;
  std::uint64_t checksum_failures = 0;
  std::uint64_t lost_epochs = 0;
  bool quarantined = false;
};

/// Rows of the table that the test prints.
struct Row {
  std::uint64_t cases = 0;
  std::uint64_t without_effect = 0;
  std::uint64_t losses = 0;  ///< Cases in which something was missing.
  std::uint64_t quarantined = 0;
  std::uint64_t counted = 0;  ///< Cases with checksum failures or lost epochs.
  double slowest_ms = 0;
};

class CorruptionTest : public DaemonTest {
 protected:
  [[nodiscard]] static DaemonProcess::Options OnSsd(const std::string& path) {
    DaemonProcess::Options options;
    options.flags = {"--ssd-path=" + path, "--ssd=256MiB", "--ssd-min-free=1MiB"};
    options.tcp = false;
    options.http = false;
    return options;
  }

  /// Three generations of files, some of them flushed on the way.
  void Fill(const std::string& path) {
    for (std::uint64_t round = 0; round < 3; ++round) {
      ASSERT_TRUE(StartDaemon(OnSsd(path)));
      {
        Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model());
        ASSERT_TRUE(engine.Open());
        for (std::uint64_t p = 0; p < kPrefixes; ++p) {
          if (p % 3 == round) {
            const auto stored = engine.Store(Tokens(p, 72), {32, 64}, p % 8 < 3);
            ASSERT_TRUE(stored.has_value()) << Why(stored);
            ASSERT_EQ(stored->refused, 0U);
          }
        }
      }
      daemon().Stop();
    }
  }

  std::string Copy(const std::string& from) {
    const std::string to = dir_ / "copy";
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
    return to;
  }

  /// Without its marker the directory might be anybody's: it is left as it is, with advice. With
  /// the marker back, nothing is lost.
  void ExpectRefusedUntouched(const std::string& path) {
    const auto names = [&] {
      std::set<std::string> all;
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        all.insert(entry.path().string());
      }
      return all;
    };
    const auto before = names();
    TempDir dir;
    const auto refused = DaemonProcess::Raw(
        dir, {"--memory=64MiB", "--listen-unix=" + (dir / "s"),
              "--listen-tcp=", "--listen-http=", "--ssd-path=" + path, "--ssd=256MiB"});
    EXPECT_EQ(refused->WaitExit(std::chrono::seconds(20)).value_or(-1), 1);
    EXPECT_NE(refused->Output().find("left untouched"), std::string::npos) << refused->Output();
    EXPECT_EQ(names(), before);
    fs::copy_file(dir_ / "pristine/CAIRN_SSD", path + "/CAIRN_SSD");
    EXPECT_EQ(StartAndRead(path).hits, kPrefixes);
  }

  static void Judge(const Outcome& outcome, Row& row) {
    row.cases += 1;
    row.slowest_ms = std::max(row.slowest_ms, outcome.ready_ms);
    row.quarantined += outcome.quarantined ? 1 : 0;
    const bool counted = outcome.checksum_failures + outcome.lost_epochs != 0;
    row.counted += counted ? 1 : 0;
    row.losses += outcome.hits < kPrefixes ? 1 : 0;
    EXPECT_TRUE(outcome.served);
    EXPECT_EQ(outcome.wrong, 0U);
    if (outcome.hits < kPrefixes) {
      EXPECT_TRUE(counted || outcome.quarantined)
          << kPrefixes - outcome.hits << " prefixes are gone, and nothing says so";
    }
    if (!kSanitized) {
      EXPECT_LE(outcome.ready_ms, 5000);
    }
  }

  Outcome StartAndRead(const std::string& path) {
    Outcome outcome;
    TempDir dir;
    DaemonProcess daemon(dir, OnSsd(path));
    if (!daemon.Start()) {
      return outcome;
    }
    outcome.served = true;
    outcome.ready_ms = std::chrono::duration<double, std::milli>(daemon.ready_after()).count();
    outcome.quarantined = daemon.Log().find("ssd_quarantined") != std::string::npos;
    {
      Engine engine(daemon.UnixEndpoint(), PlaneChoice::kAuto, Model());
      EXPECT_TRUE(engine.Open());
      for (std::uint64_t p = 0; p < kPrefixes; ++p) {
        const auto read = engine.Load(Tokens(p, 72));
        outcome.wrong += read ? read->wrong : 0;
        outcome.hits += read && read->resume_at == 64 ? 1 : 0;
        outcome.shallow += read && read->resume_at == 32 ? 1 : 0;
      }
      // Whatever happened, it takes new objects and gives them back.
      const auto stored = engine.Store(Tokens(9999, 72), {64}, true);
      EXPECT_TRUE(stored && stored->refused == 0) << Why(stored) << daemon.Log();
      const auto back = engine.Load(Tokens(9999, 72));
      EXPECT_TRUE(back && back->resume_at == 64 && back->wrong == 0) << Why(back);
    }
    outcome.checksum_failures = daemon.Counter("checksum_failures");
    outcome.lost_epochs = daemon.Counter("ssd_lost_epochs");
    daemon.ExpectNothingHeld();
    daemon.Stop();
    return outcome;
  }
};

void PrintTable(const std::map<std::string, Row>& rows) {
  std::printf("[   FIGURE ] %-22s %6s %10s %7s %11s %8s %11s\n", "damage", "cases", "no effect",
              "losses", "quarantined", "counted", "slowest ms");
  for (const auto& [name, row] : rows) {
    std::printf("[   FIGURE ] %-22s %6lu %10lu %7lu %11lu %8lu %11.0f\n", name.c_str(), row.cases,
                row.without_effect, row.losses, row.quarantined, row.counted, row.slowest_ms);
  }
  std::fflush(stdout);
}

std::map<std::string, std::vector<std::string>> FilesByClass(const std::string& root) {
  std::map<std::string, std::vector<std::string>> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const auto file_class = entry.is_regular_file() ? ClassOf(entry.path()) : std::nullopt;
    if (file_class) {
      files[*file_class].push_back(fs::relative(entry.path(), root).string());
    }
  }
  for (auto& [file_class, paths] : files) {
    std::sort(paths.begin(), paths.end());
    while (paths.size() > kFilesPerClass) {  // Keep the first, the last and some between.
      paths.erase(paths.begin() + static_cast<std::ptrdiff_t>(paths.size() / 2));
    }
  }
  return files;
}

TEST_F(CorruptionTest, EveryFileAndEveryDamage) {
  const std::string pristine = dir_ / "pristine";
  ASSERT_NO_FATAL_FAILURE(Fill(pristine));
  const Outcome sound = StartAndRead(Copy(pristine));
  ASSERT_TRUE(sound.served);
  ASSERT_EQ(sound.hits, kPrefixes) << "the undamaged copy must be whole";
  ASSERT_EQ(sound.wrong + sound.checksum_failures + sound.lost_epochs, 0U);
  std::map<std::string, Row> rows;
  std::set<std::string> damaged;
  for (const auto& [file_class, paths] : FilesByClass(pristine)) {
    for (const Damage damage : DamagesOf(file_class)) {
      Row& row = rows[file_class + " " + Name(damage)];
      for (const std::string& path : paths) {
        SCOPED_TRACE(path + " " + Name(damage));
        const std::string copy = Copy(pristine);
        if (!Apply(damage, copy + "/" + path)) {
          row.without_effect += 1;  // An empty file, for instance.
          continue;
        }
        damaged.insert(file_class);
        if (file_class == "CAIRN_SSD" && damage == Damage::kDelete) {
          ExpectRefusedUntouched(copy);
          row.cases += 1;
          continue;
        }
        const Outcome outcome = StartAndRead(copy);
        Judge(outcome, row);
      }
      EXPECT_GT(row.cases, 0U) << file_class << " " << Name(damage) << " changed no file";
    }
  }
  for (const char* const needed :
       {"SST", "blob", "WAL", "MANIFEST", "CURRENT", "OPTIONS", "CAIRN_SSD", "DURABLE"}) {
    EXPECT_TRUE(damaged.contains(needed)) << "no file of class " << needed << " was damaged";
  }
  PrintTable(rows);
}

}  // namespace
}  // namespace cairn::test

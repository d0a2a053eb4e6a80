#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/tier/ssd_tier.h"

namespace cairn {

/// A directory of the test's own, removed at its end.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = ::testing::TempDir() + "cairn_ssd_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct TestObject {
  ObjectRecord record;
  std::vector<std::byte> bytes;
};

/// Object number `id`: the same bytes every time.
inline TestObject MakeObject(std::uint64_t id, std::size_t size) {
  TestObject object;
  object.bytes.resize(size);
  std::mt19937_64 random(id);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(object.bytes.data() + i, &word, std::min<std::size_t>(8, size - i));
  }
  std::memcpy(object.record.key.bytes.data(), &id, sizeof(id));
  object.record.parent.bytes.fill(std::byte{0x5A});
  object.record.seed.bytes.fill(std::byte{0xA5});
  object.record.position = static_cast<std::uint32_t>(id * 16);
  object.record.kind = id % 3 == 0 ? ObjectKind::kKv : ObjectKind::kCheckpoint;
  object.record.bytes = size;
  object.record.digest = DigestOf(object.bytes);
  return object;
}

inline std::uint64_t IdOf(const ObjectRecord& record) {
  std::uint64_t id = 0;
  std::memcpy(&id, record.key.bytes.data(), sizeof(id));
  return id;
}

inline SsdConfig SmallConfig(const std::string& path) {
  return {.path = path,
          .capacity_bytes = 64 * kMiB,
          .segment_bytes = 4 * kMiB,
          .write_buffer_bytes = 4 * kMiB};
}

/// Opens and fails the test when that does not work.
inline OpenedSsd MustOpen(const SsdConfig& config) {
  auto opened = OpenSsdTier(config);
  if (!opened) {
    ADD_FAILURE() << ToString(opened.error());
    std::abort();
  }
  return std::move(*opened);
}

using Found = std::vector<std::pair<ObjectRecord, ColdLocation>>;

/// Recovers all; the cookie of an object is its number.
inline Found RecoverAll(ColdTier& tier) {
  Found found;
  const auto recovered = tier.Recover([&](const ObjectRecord& record, ColdLocation location) {
    found.emplace_back(record, location);
    return std::optional(static_cast<std::uint32_t>(IdOf(record)));
  });
  EXPECT_TRUE(recovered.has_value()) << ToString(recovered.error());
  return found;
}

/// True when the tier gives back exactly the object's bytes. Wrong bytes fail the test.
inline bool ReadsBack(ColdTier& tier, ColdLocation location, const TestObject& object) {
  std::vector<std::byte> target(object.bytes.size(), std::byte{0xEE});
  if (!tier.Read(location, object.record, target)) {
    return false;
  }
  EXPECT_EQ(target, object.bytes) << "WRONG BYTES";
  return target == object.bytes;
}

/// Allocated blocks, as `du` sums them, directories included; so that the tier's own count is not
/// its judge.
inline std::uint64_t DiskUse(const std::string& path) {
  struct stat info {};
  std::uint64_t bytes =
      ::lstat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512U : 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    if (::lstat(it->path().c_str(), &info) == 0) {
      bytes += static_cast<std::uint64_t>(info.st_blocks) * 512U;
    }
  }
  return bytes;
}

}  // namespace cairn

// Tables are read through to see whether they are sound; one that a compaction deletes meanwhile is
// no damage. It was once, and a start in such a moment gave up all that was durable.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "libcache/base/bytes.h"
#include "libcache/tier/ssd_database.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

TEST(SsdVerifyTest, TablesThatGoMeanwhileAreNotDamaged) {
  const ScratchDirectory scratch;
  const auto opened = SsdDatabase::Open({.path = scratch.path(),
                                         .capacity_bytes = 64 * kMiB,
                                         .write_buffer_bytes = kMiB,
                                         .direct_io = false});
  ASSERT_TRUE(opened.has_value());
  SsdDatabase& database = **opened;
  std::atomic<bool> done = false;
  // Every flush is a table, and a few of them are compacted into one.
  std::thread writer([&] {
    for (int i = 0; i < 400; ++i) {
      EXPECT_TRUE(database.PutMeta("key" + std::to_string(i % 7), std::string(1000, 'x')));
      EXPECT_TRUE(database.FlushAll());
    }
    done = true;
  });
  while (!done) {
    const auto verified = database.VerifySmallTables();
    EXPECT_TRUE(verified.has_value()) << verified.error().message;
  }
  writer.join();
}

}  // namespace
}  // namespace cairn

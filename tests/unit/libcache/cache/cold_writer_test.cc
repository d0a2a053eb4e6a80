#include "libcache/cache/cold_writer.h"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <vector>

#include "libcache/tier/memory_cold_tier.h"

namespace cairn {
namespace {

constexpr std::uint64_t kEntryBytes = 1000;
constexpr std::uint64_t kBound = 4 * kEntryBytes;

/// A tier that writes nothing while the gate is shut.
class GatedTier : public MemoryColdTier {
 public:
  explicit GatedTier(std::mutex* gate)
      : MemoryColdTier({.capacity_bytes = 1U << 20U}), gate_(gate) {}
  Result<ColdLocation> Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                             std::uint32_t cookie) override {
    const std::lock_guard<std::mutex> open(*gate_);
    return MemoryColdTier::Write(record, bytes, cookie);
  }

 private:
  std::mutex* gate_;
};

TEST(ColdWriterTest, WhatIsWaitedForMayQueueWhenTheRestIsFull) {
  const std::vector<std::byte> payload(kEntryBytes);
  std::mutex gate;
  GatedTier tier(&gate);
  std::vector<std::uint32_t> written;
  ColdWriter writer(&tier, kBound, std::chrono::milliseconds(10'000),
                    [&](const ColdWriter::Entry& entry, const Result<ColdLocation>& location) {
                      EXPECT_TRUE(location.has_value());
                      written.push_back(entry.cookie);
                      return Status();
                    });
  std::uint32_t cookie = 0;
  const auto push = [&](const std::shared_ptr<Completion>& durable) {
    ColdWriter::Entry entry;
    entry.cookie = cookie;
    entry.record.key.bytes[0] = static_cast<std::byte>(cookie);
    entry.record.bytes = payload.size();
    entry.record.digest = DigestOf(payload);
    entry.bytes = payload;
    entry.durable = durable;
    const bool taken = writer.Push(std::move(entry));
    cookie += taken ? 1 : 0;
    return taken;
  };
  const auto durable = std::make_shared<Completion>(4);
  {
    const std::lock_guard<std::mutex> shut(gate);
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(push(nullptr)) << i;
    }
    EXPECT_FALSE(push(nullptr)) << "beyond the bound";
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(push(durable)) << i;
    }
    EXPECT_FALSE(push(durable)) << "beyond twice the bound";
    EXPECT_FALSE(push(nullptr));
    EXPECT_EQ(writer.queued_bytes(), 2 * kBound);
    EXPECT_FALSE(durable->IsDone());
  }
  ASSERT_TRUE(durable->Wait(SteadyClock::Instance().Now() + std::chrono::seconds(20)));
  EXPECT_EQ(durable->error(), ErrorCode::kOk);
  ASSERT_TRUE(writer.Flush(SteadyClock::Instance().Now() + std::chrono::seconds(20)));
  EXPECT_EQ(written, (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7})) << "in order";
  EXPECT_EQ(writer.queued_bytes(), 0U);
  EXPECT_TRUE(push(nullptr)) << "room again";
}

}  // namespace
}  // namespace cairn

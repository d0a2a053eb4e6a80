#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

/// ColdTier in plain memory, for tests of what stands on one: same contract, no disk, and faults
/// on request. Segments are evicted oldest first. Thread-safe.
class MemoryColdTier : public ColdTier {
 public:
  struct Config {
    std::uint64_t capacity_bytes = 0;  ///< Payload bytes; nothing else counts here.
    std::uint64_t segment_bytes = 0;   ///< 0: capacity / 4.
  };

  explicit MemoryColdTier(const Config& config);

  void SetGoneListener(GoneListener listener) override;
  Status Recover(const Recovered& recovered) override;
  Status PutNamespace(const PrefixKey& seed, const std::string& canonical) override;
  std::vector<std::pair<PrefixKey, std::string>> Namespaces() override;
  Result<ColdLocation> Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                             std::uint32_t cookie) override;
  Status Read(ColdLocation location, const ObjectRecord& expected,
              std::span<std::byte> target) override;
  Result<ObjectRecord> ReadRecord(ColdLocation location) override;
  void Drop(ColdLocation location) override;
  Status Flush() override;
  Status Clear() override;
  [[nodiscard]] ColdStats Stats() const override;

  /// What a crash leaves: a tier with all that was flushed and nothing else. Recover it first.
  [[nodiscard]] std::unique_ptr<MemoryColdTier> Crash() const;
  /// Flips a bit of a stored object; false when it is not there.
  bool Damage(ColdLocation location);
  /// Makes writes fail with this code until called with nullopt.
  void FailWrites(std::optional<ErrorCode> code);

 private:
  struct Object {
    ObjectRecord record;
    std::vector<std::byte> bytes;
    std::optional<std::uint32_t> cookie;  ///< Nullopt: found at start, not recovered yet.
    bool flushed = false;
  };
  struct Place {
    std::uint32_t segment;
    std::uint32_t ordinal;
    auto operator<=>(const Place&) const = default;
  };
  struct Namespace {
    std::string canonical;
    bool flushed = false;
  };

  Object* Find(ColdLocation location) CAIRN_REQUIRES(mu_);
  void Erase(std::map<Place, Object>::iterator it) CAIRN_REQUIRES(mu_);
  void EvictOldest(std::vector<ColdGone>& gone) CAIRN_REQUIRES(mu_);

  const Config config_;
  GoneListener listener_;  ///< Set before there are writers.
  mutable Mutex mu_;
  std::map<Place, Object> objects_ CAIRN_GUARDED_BY(mu_);
  std::map<PrefixKey, Namespace> namespaces_ CAIRN_GUARDED_BY(mu_);
  std::uint32_t segment_ CAIRN_GUARDED_BY(mu_) = 1;
  std::uint32_t next_ordinal_ CAIRN_GUARDED_BY(mu_) = 0;
  std::uint64_t segment_fill_ CAIRN_GUARDED_BY(mu_) = 0;
  std::optional<ErrorCode> fail_writes_ CAIRN_GUARDED_BY(mu_);
  ColdStats stats_ CAIRN_GUARDED_BY(mu_);
};

}  // namespace cairn

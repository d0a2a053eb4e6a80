#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/key.h"
#include "libcache/base/result.h"
#include "libcache/codec/object_codec.h"

namespace cairn {

/// Identity of one object, stored beside its bytes and checked when they come back.
struct ObjectRecord {
  PrefixKey key;
  PrefixKey parent;  ///< Key of the block before; the namespace's seed for the first.
  PrefixKey seed;    ///< Of the namespace.
  std::uint32_t position = 0;
  ObjectKind kind = ObjectKind::kKv;
  std::uint64_t bytes = 0;
  Digest digest;
  bool coded = false;  ///< The values went through a lossy codec, here or on another way here.
  bool operator==(const ObjectRecord&) const = default;
};

/// Where a cold tier put an object.
struct ColdLocation {
  std::uint32_t segment = 0;
  std::uint32_t ordinal = 0;
  bool operator==(const ColdLocation&) const = default;
};

/// An object that a cold tier no longer has.
struct ColdGone {
  std::uint32_t cookie = 0;
  ColdLocation location;  ///< Cookies come back to use; this says which of their objects it was.
};

struct ColdStats {
  std::uint64_t capacity_bytes = 0;
  std::uint64_t disk_bytes = 0;  ///< On the device, dead bytes included; <= capacity_bytes.
  std::uint64_t live_bytes = 0;  ///< Payload of objects that can still be read.
  std::uint64_t objects = 0;
  std::uint64_t written_bytes = 0;  ///< Payload accepted since start.
  std::uint64_t encoded_bytes = 0;  ///< What a codec made of it; equal without one.
  std::uint64_t lossy_objects = 0;  ///< Written by a lossy codec since start.
  /// By CodecRefusal: written without the lossy codec that they were meant for.
  std::array<std::uint64_t, kCodecRefusals> codec_refusals{};
  std::uint64_t device_written_bytes = 0;  ///< As the store counts them, compaction included.
  std::uint64_t read_bytes = 0;
  std::uint64_t checksum_failures = 0;
  std::uint64_t segments_evicted = 0;
  std::uint64_t write_failures = 0;
  std::uint64_t lost_epochs = 0;  ///< Durable epochs that the store no longer had at start.
  std::string state = "ok";       ///< "ok" or "degraded: why".
};

/// A tier slower than host memory that keeps objects across restarts. Calls block on I/O and are
/// made from a pool, never from an I/O thread. Thread-safe.
///
/// Capacity is freed a segment at a time: the objects of a segment were written about the same
/// time, and dropping all of them costs no rewriting. The tier picks the segment that served
/// least; the listener then learns which objects are gone.
class ColdTier {
 public:
  /// Called with objects that are no longer stored, from the thread that wrote, without any lock of
  /// the tier held.
  using GoneListener = std::function<void(std::span<const ColdGone> gone)>;
  /// Returns the cookie of a recovered object, or nullopt to drop it.
  using Recovered = std::function<std::optional<std::uint32_t>(const ObjectRecord&, ColdLocation)>;

  virtual ~ColdTier() = default;

  virtual void SetGoneListener(GoneListener listener) = 0;

  /// Objects found at start, in no order. Call once, before the first Write.
  virtual Status Recover(const Recovered& recovered) = 0;

  /// Namespaces are needed to make sense of recovered objects.
  virtual Status PutNamespace(const PrefixKey& seed, const std::string& canonical) = 0;
  virtual std::vector<std::pair<PrefixKey, std::string>> Namespaces() = 0;

  /// How an object is made smaller. Asked in Write, on its thread and without any lock of the tier
  /// held. Objects stored before are read as they are.
  using CodecOf = std::function<ObjectCodec(const ObjectRecord& record)>;
  /// Set before the first Write. A tier may ignore it.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): those that do not ignore it keep it.
  virtual void SetCodecs(CodecOf /*codec_of*/) {}

  /// Stores a copy. `cookie` names the object to the listener. Not durable until Flush. Where a
  /// lossy codec is at work the object's record changes: what is read from now on is what decoding
  /// gives, and the digest and `coded` are those of that (ReadRecord).
  /// Errors: kNoSpace (cap or disk), kIo (then the object may or may not be there after a
  /// restart, but never with wrong bytes).
  virtual Result<ColdLocation> Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                                     std::uint32_t cookie) = 0;

  /// Reads and verifies: digest and identity must equal `expected`.
  /// Errors: kNotFound (evicted meanwhile), kCorrupt (counted; the caller drops it), kIo.
  virtual Status Read(ColdLocation location, const ObjectRecord& expected,
                      std::span<std::byte> target) = 0;

  /// What Read is to be asked for: the record as it was stored, without the bytes.
  /// Errors: kNotFound, kCorrupt, kIo.
  virtual Result<ObjectRecord> ReadRecord(ColdLocation location) = 0;

  /// Forgets an object; its space returns with its segment.
  virtual void Drop(ColdLocation location) = 0;

  /// All writes that returned before this call survive kill -9 and power loss after it.
  virtual Status Flush() = 0;

  /// Drops everything.
  virtual Status Clear() = 0;

  [[nodiscard]] virtual ColdStats Stats() const = 0;
};

}  // namespace cairn

#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/key.h"
#include "libcache/base/result.h"
#include "libcache/index/prefix_index.h"

namespace cairn {

using SessionId = std::uint64_t;
using LeaseId = std::uint64_t;
using NamespaceId = std::uint32_t;

/// Owner of operator pins (cairnctl pin); never handed to a connection.
inline constexpr SessionId kOperatorSession = 0;

enum class TierKind : std::uint8_t { kNone = 0, kHost = 1, kSsd = 2, kGpu = 3 };
inline constexpr std::size_t kTierKinds = 4;
std::string_view TierName(TierKind tier);

/// A position from which a request could resume.
struct Boundary {
  std::uint32_t position = 0;
  TierKind tier = TierKind::kNone;  ///< The slowest any byte of it must come from.
  bool tail = false;                ///< Inside a block: the caller checks tail_key.
  std::uint64_t bytes = 0;          ///< Checkpoint and all KV up to it.
  std::uint32_t estimated_load_us = 0;
  PrefixKey tail_key;
  NodeId node = kNoId;
};

/// Where an object lies in device memory, for a reader who holds it there.
struct DevicePlace {
  std::uint32_t extent = 0;  ///< Number of the extent; 0: it is not there.
  std::uint32_t slot = 0;    ///< Its word in the extent's ledger.
  std::uint64_t offset = 0;
  std::uint64_t generation = 0;  ///< The word, before and after the copy.
};

struct ObjectView {
  ObjectKind kind = ObjectKind::kKv;
  std::uint32_t position = 0;
  std::uint32_t tokens = 0;  ///< Covered tokens of KV; 0 for a checkpoint.
  std::uint64_t bytes = 0;
  Digest digest;
  std::uint64_t arena_offset = 0;
  std::uint64_t generation = 0;
  DevicePlace device = {};  ///< A second copy; the one in the arena is there too.
};

enum class MatchState : std::uint8_t { kMiss = 0, kReady = 1, kPending = 2 };

enum class MatchPurpose : std::uint8_t {
  kServe = 0,     ///< The caller goes on with what it gets.
  kCompare = 1,   ///< It may ask another cache as well, and declines all answers but one.
  kOverhear = 2,  ///< Another cache serves the prompt: it is remembered and learned from, no more.
};

/// What a caller of Match may ask for.
struct MatchWish {
  std::uint32_t grid_tokens = 0;   ///< Plan at multiples of this; 0: as the namespace was opened.
  std::uint32_t want_objects = 0;  ///< See MatchResult::objects; 0: never.
  bool want_device = false;        ///< The caller reads from device memory where it can.
  MatchPurpose purpose = MatchPurpose::kServe;
};

struct MatchResult {
  MatchState state = MatchState::kMiss;
  LeaseId lease = 0;                 ///< 0 without a boundary.
  std::vector<Boundary> boundaries;  ///< Shallow to deep, each below prompt_tokens.
  std::uint32_t best = 0;            ///< Index of the one the lease covers.
  std::vector<std::uint32_t> plan;
  std::uint32_t overlap_tokens = 0;
  std::uint32_t kv_tokens = 0;
  std::uint32_t load_permille = 0;  ///< Of the cache (libcache/policy/load_meter.h).
  /// Those of the best boundary, as after a fetch of it from 0: when it is in memory and has no
  /// more objects than were wanted.
  std::vector<ObjectView> objects;
};

/// Prefill of one token until an engine reports its own: 20,000 tokens/s.
inline constexpr double kFirstRecomputeUsPerToken = 50;

struct ReserveItem {
  ObjectKind kind = ObjectKind::kKv;
  PrefixKey key;
  PrefixKey parent;
  std::uint32_t position = 0;
  std::uint64_t bytes = 0;
};

struct ReserveOutcome {
  ErrorCode code = ErrorCode::kOk;
  std::uint64_t token = 0;
};

struct CommitItem {
  std::uint64_t token = 0;
  Digest digest;
};

struct Observation {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t overlap_tokens = 0;
  std::uint32_t resumed_at = 0;
  std::uint32_t gap_tokens = 0;
  std::uint32_t load_us = 0;
  std::uint32_t recompute_us = 0;
  TierKind tier = TierKind::kNone;
  bool failed = false;
};

/// Bytes and objects of one tier, by kind.
struct TierUse {
  std::array<std::uint64_t, 2> bytes{};  // By ObjectKind.
  std::array<std::uint64_t, 2> objects{};
};

enum class EvictReason : std::uint8_t {
  kCapacity = 0,    ///< The least valuable boundary made room.
  kOrphanKv = 1,    ///< KV that no checkpoint made restorable.
  kFragmented = 2,  ///< Stood in the way of a contiguous run.
  kOperator = 3,
  kCorrupt = 4,
  kColdSegment = 5,  ///< Its SSD segment was freed.
};
inline constexpr std::size_t kEvictReasons = 6;
std::string_view EvictReasonName(EvictReason reason);

/// The device of the GPU tier, as DeviceMemory has it.
struct GpuDevice {
  std::string name;
  std::string kind;
  std::string id;
  std::string copies;                   ///< Who copies small pieces (CopySwitch::text).
  std::uint64_t copy_switch_bytes = 0;  ///< Below this a kernel does; 0: nowhere.
};

/// The GPU tier: counters since start and gauges of now.
struct GpuStats {
  std::string state = "off";  ///< "off", "absent: why", "ok" or "lost: why".
  GpuDevice device;           ///< Empty without one.
  std::uint64_t capacity_bytes = 0;
  std::uint64_t extent_bytes = 0;  ///< Taken from the device; <= capacity_bytes.
  std::uint64_t used_bytes = 0;    ///< Slots, rounding included.
  TierUse use;
  std::uint64_t boundaries = 0;
  std::uint64_t readers = 0;     ///< Objects held by leases now.
  std::uint64_t promotions = 0;  ///< Boundaries brought there.
  std::uint64_t promoted_bytes = 0;
  std::uint64_t refused = 0;    ///< Candidates that were not worth it, or found no room.
  std::uint64_t evictions = 0;  ///< Boundaries replaced by others or gone from host memory.
  std::uint64_t failed_copies = 0;
  std::uint64_t served_objects = 0;  ///< Handed out as places in device memory.
  std::uint64_t losses = 0;
};

/// Counters since start and gauges of now. A copy; taken under the cache's lock.
struct CacheStats {
  // Requests.
  std::uint64_t matches = 0;            ///< Those below left out, here and in what follows.
  std::uint64_t match_hits = 0;         ///< Matches with a restorable boundary.
  std::uint64_t matches_elsewhere = 0;  ///< Declined, or overheard: another daemon served them.
  std::uint64_t boundaries_returned = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t overlap_tokens = 0;
  std::uint64_t lost_tokens = 0;  ///< KV was there, a checkpoint was not.
  std::uint64_t fetches = 0;
  std::array<std::uint64_t, kTierKinds> hit_tokens{};  ///< By TierKind, once served.
  std::uint64_t gap_tokens = 0;
  std::uint64_t failed_restores = 0;
  std::uint64_t commits = 0;
  std::uint64_t durable_commits = 0;
  std::uint64_t reserve_refused = 0;
  std::uint64_t aborted = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t checksum_failures = 0;
  std::uint64_t promotions = 0;
  std::uint64_t promotion_failures = 0;
  std::uint64_t cold_queue_dropped = 0;
  std::uint64_t cold_unindexed = 0;  ///< Left on the cold tier at start for want of index memory.
  std::array<std::uint64_t, kEvictReasons> evictions{};
  std::uint64_t evicted_bytes = 0;
  // Now.
  TierUse host;
  TierUse cold;
  std::uint64_t arena_capacity_bytes = 0;
  std::uint64_t arena_used_bytes = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t nodes = 0;
  std::uint64_t ghosts = 0;
  std::uint64_t leases = 0;
  std::uint64_t reservations = 0;
  std::uint64_t pins = 0;
  std::uint64_t sessions = 0;
  std::uint64_t cold_queue_bytes = 0;
  bool has_cold = false;
  bool draining = false;
  ColdStats cold_store;
  GpuStats gpu;
  // Of the planner that learns; zero with others.
  bool learns = false;
  std::uint64_t places = 0;
  std::uint64_t placement_bytes = 0;
  double price_per_byte_s = 0;
  std::uint64_t planned_bytes = 0;
  std::uint64_t engine_written_bytes = 0;  ///< By turn_end_demand and lru in as much room.
};

struct LeaseView {
  LeaseId id = 0;
  SessionId session = 0;
  std::uint64_t request = 0;
  std::uint32_t position = 0;
  std::int64_t expires_in_ms = -1;  ///< -1: never (operator pins).
  const char* kind = "read";
};

struct NodeView {
  PrefixKey key;
  PrefixKey parent;
  std::uint32_t depth = 0;
  std::uint32_t position = 0;
  std::array<bool, 2> on_host{};  // By ObjectKind.
  std::array<bool, 2> on_cold{};
  std::array<bool, 2> present{};
  std::uint64_t bytes = 0;
  std::uint32_t children = 0;
  std::uint32_t pins = 0;
  bool restorable = false;
  std::uint64_t restore_bytes = 0;
  NamespaceId name_space = 0;
};

}  // namespace cairn

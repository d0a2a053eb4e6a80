// What a connection can make a cache do: any requests in any order, from sessions that may lie. The
// cache is small, so that room is always short. Looked at after every step: the arena keeps to its
// cap; what is read is what was committed. At the end nothing is held.
#include <fuzzer/FuzzedDataProvider.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/cache/cache.h"

namespace {

using cairn::Cache;
using cairn::ErrorCode;
using cairn::ObjectKind;
using cairn::PrefixKey;

constexpr std::uint32_t kBlock = 4;
constexpr std::uint64_t kKvPerToken = 1500;
constexpr std::uint64_t kState = 60'000;
constexpr std::uint32_t kMaxTokens = 40;
constexpr std::size_t kMaxSteps = 400;

struct Writing {
  cairn::SessionId session = 0;
  std::uint64_t token = 0;
  PrefixKey key;
  ObjectKind kind = ObjectKind::kKv;
  std::uint64_t bytes = 0;
  std::uint64_t filled = 0;
};

std::vector<std::byte> Content(const PrefixKey& key, ObjectKind kind, std::uint64_t bytes) {
  std::vector<std::byte> content(bytes, key.bytes[5]);
  for (std::size_t i = 0; i < content.size(); i += 61) {
    content[i] = static_cast<std::byte>(i / 61) ^ static_cast<std::byte>(kind);
  }
  return content;
}

class Harness {
 public:
  explicit Harness(FuzzedDataProvider& data) : data_(data) {
    Cache::Config config;
    config.host_bytes = 2 * cairn::kMiB;
    config.index_bytes = cairn::kMiB;
    config.huge_pages = false;
    config.clock = &clock_;
    config.max_leases_per_session = 8;
    config.max_reservations_per_session = 16;
    constexpr const char* kEvictions[] = {"value", "lru", "lfu", "w_tinylfu"};
    config.eviction = data_.PickValueInArray(kEvictions);
    auto cache = Cache::Open(config, nullptr);
    CAIRN_CHECK(cache.has_value());
    cache_ = std::move(*cache);
    for (auto& session : sessions_) {
      session = cache_->BeginSession();
    }
    for (std::size_t i = 0; i < spaces_.size(); ++i) {
      cairn::NamespaceSpec spec;
      spec.model = "fuzz" + std::to_string(i);
      spec.block_tokens = kBlock;
      spec.kv_bytes_per_token = i == 2 ? 0 : kKvPerToken;
      spec.checkpoint_bytes = i == 1 ? 0 : kState;
      spec.grid_tokens = 1;
      const auto opened = cache_->OpenNamespace(spec);
      CAIRN_CHECK(opened.has_value());
      spaces_[i] = *opened;
    }
  }

  void Run() {
    for (std::size_t step = 0; step < kMaxSteps && data_.remaining_bytes() > 0; ++step) {
      Step();
      const cairn::CacheStats stats = cache_->Stats();
      CAIRN_CHECK(stats.arena_used_bytes <= stats.arena_capacity_bytes);
      CAIRN_CHECK(stats.host.bytes[0] + stats.host.bytes[1] <= stats.arena_used_bytes);
    }
    for (const auto session : sessions_) {
      cache_->EndSession(session);
    }
    for (const std::string& pin : pins_) {
      static_cast<void>(cache_->UnpinPrefix(pin));
    }
    const cairn::CacheStats stats = cache_->Stats();
    CAIRN_CHECK(stats.leases == 0 && stats.reservations == 0 && stats.sessions == 0);
    CAIRN_CHECK(stats.pins == 0);
    cache_->Clear();
    CAIRN_CHECK(cache_->Stats().arena_used_bytes == 0);
  }

 private:
  void Step() {
    switch (data_.ConsumeIntegralInRange(0, 13)) {
      case 0: Match(); break;
      case 1:
      case 2: Reserve(); break;
      case 3:
      case 4: Fill(); break;
      case 5:
      case 6: Commit(); break;
      case 7: Fetch(); break;
      case 8: static_cast<void>(cache_->Release(Session(), Lease())); break;
      case 9: Abort(); break;
      case 10: Administer(); break;
      case 11: Pass(); break;
      case 12: Report(); break;
      default: {
        auto& session = sessions_[data_.ConsumeIntegralInRange<std::size_t>(0, 1)];
        cache_->EndSession(session);
        session = cache_->BeginSession();
      }
    }
  }

  std::uint64_t Session() { return sessions_[data_.ConsumeBool() ? 1 : 0]; }
  const Cache::OpenedNamespace& Space() {
    return spaces_[data_.ConsumeIntegralInRange<std::size_t>(0, spaces_.size() - 1)];
  }
  std::uint64_t Lease() {
    return leases_.empty() || data_.ConsumeIntegralInRange(0, 15) == 0
               ? data_.ConsumeIntegral<std::uint8_t>()
               : leases_[data_.ConsumeIntegralInRange<std::size_t>(0, leases_.size() - 1)];
  }
  /// Few prompts with common beginnings, so that requests meet.
  std::vector<std::uint32_t> Tokens() {
    std::vector<std::uint32_t> tokens(data_.ConsumeIntegralInRange<std::uint32_t>(1, kMaxTokens));
    const std::uint32_t fork = data_.ConsumeIntegralInRange<std::uint32_t>(0, kMaxTokens);
    const std::uint32_t branch = data_.ConsumeIntegralInRange<std::uint32_t>(0, 3);
    for (std::uint32_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = i < fork ? i : 100 * (branch + 1) + i;
    }
    return tokens;
  }
  static PrefixKey KeyAt(const PrefixKey& seed, std::span<const std::uint32_t> tokens,
                         std::uint32_t position) {
    const auto keys = cairn::BlockKeys(seed, tokens.first(position), kBlock);
    return cairn::TailKey(keys.empty() ? seed : keys.back(),
                          tokens.subspan(keys.size() * kBlock, position % kBlock));
  }

  void Match() {
    const auto& space = Space();
    const auto tokens = Tokens();
    const auto matched = cache_->Match(Session(), data_.ConsumeIntegral<std::uint8_t>(), space.id,
                                       cairn::BlockKeys(space.seed, tokens, kBlock),
                                       static_cast<std::uint32_t>(tokens.size()));
    if (!matched) {
      CAIRN_CHECK(matched.error().code == ErrorCode::kOverloaded);
      return;
    }
    for (const auto& boundary : matched->boundaries) {
      CAIRN_CHECK(boundary.position > 0 && boundary.position < tokens.size());
    }
    if (matched->lease != 0) {
      CAIRN_CHECK(matched->best < matched->boundaries.size());
      leases_.push_back(matched->lease);
      boundaries_ = matched->boundaries;
    }
  }

  void Reserve() {
    const auto& space = Space();
    const auto tokens = Tokens();
    const auto session = Session();
    const auto last = static_cast<std::uint32_t>(tokens.size());
    const bool whole_path = data_.ConsumeBool();
    std::vector<cairn::ReserveItem> items;
    for (std::uint32_t at = whole_path ? 1 : last; at <= last; ++at) {
      if (at != last && at % kBlock != 0) {
        continue;
      }
      for (const ObjectKind kind : {ObjectKind::kKv, ObjectKind::kCheckpoint}) {
        if (kind == ObjectKind::kCheckpoint && at != last) {
          continue;
        }
        const std::uint32_t start = (at - 1) / kBlock * kBlock;
        items.push_back({.kind = kind,
                         .key = KeyAt(space.seed, tokens, at),
                         .parent = KeyAt(space.seed, tokens, start),
                         .position = at,
                         .bytes = kind == ObjectKind::kKv ? (at - start) * kKvPerToken : kState});
      }
    }
    if (data_.ConsumeIntegralInRange(0, 15) == 0) {  // A liar.
      items.back().bytes = data_.ConsumeIntegral<std::uint64_t>();
      items.back().position = data_.ConsumeIntegral<std::uint32_t>();
      items.back().parent = items.front().key;
    }
    const auto outcomes = cache_->Reserve(session, 1, space.id, items);
    for (std::size_t i = 0; outcomes && i < items.size(); ++i) {
      if ((*outcomes)[i].code == ErrorCode::kOk) {
        writing_.push_back(
            {session, (*outcomes)[i].token, items[i].key, items[i].kind, items[i].bytes, 0});
      }
    }
  }

  Writing* Pick() {
    return writing_.empty()
               ? nullptr
               : &writing_[data_.ConsumeIntegralInRange<std::size_t>(0, writing_.size() - 1)];
  }

  void Fill() {
    Writing* const w = Pick();
    if (w == nullptr) {
      return;
    }
    const auto content = Content(w->key, w->kind, w->bytes);
    const bool in_order = data_.ConsumeIntegralInRange(0, 15) != 0;
    const std::uint64_t offset = in_order ? w->filled : data_.ConsumeIntegral<std::uint64_t>();
    const std::uint64_t left = w->bytes - w->filled;
    const std::uint64_t bytes =
        data_.ConsumeBool() ? left : data_.ConsumeIntegralInRange<std::uint64_t>(0, left);
    const auto filled =
        cache_->Fill(w->session, w->token, offset, std::span(content).subspan(w->filled, bytes));
    w->filled += filled ? bytes : 0;
  }

  void Commit() {
    Writing* const w = Pick();
    if (w == nullptr) {
      return;
    }
    auto digest = cairn::DigestOf(Content(w->key, w->kind, w->bytes));
    const bool lies = data_.ConsumeIntegralInRange(0, 7) == 0;
    digest.low ^= lies ? 1U : 0U;
    const cairn::CommitItem item{.token = w->token, .digest = digest};
    const auto result = cache_->Commit(w->session, {&item, 1}, data_.ConsumeBool());
    CAIRN_CHECK(result.codes.size() == 1);
    CAIRN_CHECK(result.codes[0] != ErrorCode::kOk || (w->filled == w->bytes && !lies));
    *w = writing_.back();
    writing_.pop_back();
  }

  void Abort() {
    if (const Writing* const w = Pick()) {
      const std::uint64_t token = w->token;
      cache_->Abort(Session(), {&token, 1});
    }
  }

  void Fetch() {
    const auto session = Session();
    const auto lease = Lease();
    std::uint32_t position = data_.ConsumeIntegralInRange<std::uint32_t>(0, kMaxTokens);
    const PrefixKey* tail = nullptr;
    if (!boundaries_.empty() && data_.ConsumeIntegralInRange(0, 7) != 0) {
      const auto& b =
          boundaries_[data_.ConsumeIntegralInRange<std::size_t>(0, boundaries_.size() - 1)];
      position = b.position;
      tail = b.tail ? &b.tail_key : nullptr;
    }
    const auto started = cache_->StartFetch(session, lease, position, tail,
                                            data_.ConsumeIntegralInRange<std::uint32_t>(0, 8));
    if (!started) {
      return;
    }
    CAIRN_CHECK((*started)->IsDone());  // All is in memory, so nothing is waited for.
    const auto views = cache_->FinishFetch(session, lease);
    if (!views) {
      return;
    }
    for (const auto& view : *views) {
      const auto payload = cache_->arena().Payload(view.arena_offset).first(view.bytes);
      CAIRN_CHECK(cairn::DigestOf(payload) == view.digest);
    }
  }

  void Report() {
    const auto lease = Lease();
    const auto index = data_.ConsumeIntegralInRange<std::uint32_t>(0, 12);
    static_cast<void>(cache_->BeginRead(Session(), lease, index));
    static_cast<void>(cache_->ReportCorrupt(Session(), lease, index));
    static_cast<void>(cache_->Observe(Space().id, {.gap_tokens = 1, .recompute_us = 50}));
  }

  void Pass() {
    clock_.Advance(std::chrono::milliseconds(data_.ConsumeIntegralInRange(0, 60'000)));
    cache_->SweepExpired();
  }

  void Administer() {
    const auto tokens = Tokens();
    const std::string hex =
        KeyAt(Space().seed, tokens, static_cast<std::uint32_t>(tokens.size())).Hex();
    switch (data_.ConsumeIntegralInRange(0, 5)) {
      case 0:
        if (cache_->PinPrefix(hex)) {
          pins_.push_back(hex);
        }
        break;
      case 1: static_cast<void>(cache_->UnpinPrefix(hex)); break;
      case 2:
        static_cast<void>(cache_->EvictPrefix(
            hex, {.host_only = data_.ConsumeBool(),
                  .only = data_.ConsumeBool() ? std::optional(ObjectKind::kKv) : std::nullopt}));
        break;
      case 3: cache_->Clear(); break;
      case 4: static_cast<void>(cache_->Lookup(hex.substr(0, 8))); break;
      default: static_cast<void>(cache_->Tree(data_.ConsumeRandomLengthString(4), 100)); break;
    }
  }

  FuzzedDataProvider& data_;
  cairn::ManualClock clock_;
  std::unique_ptr<Cache> cache_;
  std::array<cairn::SessionId, 2> sessions_{};
  std::array<Cache::OpenedNamespace, 3> spaces_{};
  std::vector<std::uint64_t> leases_;
  std::vector<cairn::Boundary> boundaries_;
  std::vector<Writing> writing_;
  std::vector<std::string> pins_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider provider(data, size);
  Harness harness(provider);
  harness.Run();
  return 0;
}

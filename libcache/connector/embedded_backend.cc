#include <optional>
#include <unordered_map>

#include "libcache/base/timed_copy.h"
#include "libcache/cache/cache.h"
#include "libcache/connector/backend.h"

namespace cairn {
namespace {

class Embedded final : public Backend {
 public:
  explicit Embedded(std::shared_ptr<Cache> cache)
      : cache_(std::move(cache)), session_(cache_->BeginSession()) {}
  ~Embedded() override { cache_->EndSession(session_); }

  [[nodiscard]] std::string_view PlaneName() const override { return "embedded"; }
  [[nodiscard]] bool Alive() const override { return true; }

  Result<Namespace> OpenNamespace(const NamespaceSpec& spec, TimePoint) override {
    const auto opened = cache_->OpenNamespace(spec);
    if (!opened) {
      return Fail(opened.error());
    }
    grids_[opened->id] = opened->grid_tokens;
    return Namespace{.id = opened->id, .seed = opened->seed, .grid_tokens = opened->grid_tokens};
  }

  Result<MatchResult> Match(std::uint32_t name_space, std::uint64_t request,
                            std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                            TimePoint) override {
    // No daemon sweeps in this process, so calls do.
    cache_->SweepExpired();
    return cache_->Match(session_, request, name_space, keys, prompt_tokens,
                         {.grid_tokens = grids_[name_space]});
  }

  Result<std::vector<ObjectView>> Fetch(LeaseId lease, const Fetched& what,
                                        TimePoint deadline) override {
    const auto pending =
        cache_->StartFetch(session_, lease, what.position, what.tail_key, what.from_position);
    if (!pending) {
      return Fail(pending.error());
    }
    if (!(*pending)->Wait(deadline)) {
      return Fail(ErrorCode::kDeadlineExceeded, "the SSD did not deliver in time");
    }
    if ((*pending)->error() != ErrorCode::kOk) {
      return Fail((*pending)->error(), "the boundary could not be read from SSD");
    }
    return cache_->FinishFetch(session_, lease);
  }

  Status Read(LeaseId lease, std::uint32_t index, const ObjectView& object, Pieces target,
              TimePoint deadline) override {
    CAIRN_CHECK(TotalBytes(target) == object.bytes);
    const auto reading = cache_->BeginRead(session_, lease, index);
    if (!reading) {
      return Fail(reading.error());
    }
    const std::optional<Digest> digest = CopyAndDigestUntil(target, reading->bytes(), deadline);
    if (!digest) {
      return Fail(ErrorCode::kDeadlineExceeded, "the object could not be copied in time");
    }
    if (!(*digest == object.digest)) {
      static_cast<void>(cache_->ReportCorrupt(session_, lease, index));
      return Fail(ErrorCode::kCorrupt, "the object does not have its digest");
    }
    return {};
  }

  Status ReportCorrupt(LeaseId lease, std::uint32_t index, TimePoint) override {
    return cache_->ReportCorrupt(session_, lease, index);
  }

  Status Release(LeaseId lease, TimePoint) override { return cache_->Release(session_, lease); }

  Result<std::vector<ReserveOutcome>> Reserve(std::uint32_t name_space, std::uint64_t request,
                                              std::span<const ReserveItem> items,
                                              TimePoint) override {
    return cache_->Reserve(session_, request, name_space, items);
  }

  Result<Digest> Write(std::uint64_t token, std::span<const std::byte> bytes, TimePoint) override {
    if (const Status filled = cache_->Fill(session_, token, 0, bytes); !filled) {
      return Fail(filled.error());
    }
    return DigestOf(bytes);
  }

  Result<std::vector<ErrorCode>> Commit(std::span<const CommitItem> items, bool durable,
                                        TimePoint deadline) override {
    Cache::CommitResult result = cache_->Commit(session_, items, durable);
    if (result.durable != nullptr) {
      if (!result.durable->Wait(deadline)) {
        return Fail(ErrorCode::kDeadlineExceeded, "the objects are not yet durable");
      }
      if (const ErrorCode failed = result.durable->error(); failed != ErrorCode::kOk) {
        return Fail(failed, "the objects are in memory but could not be made durable");
      }
      if (const Status whole = cache_->CheckDurable(result); !whole) {
        return Fail(whole.error());
      }
    }
    return result.codes;
  }

  Status Abort(std::span<const std::uint64_t> tokens, TimePoint) override {
    cache_->Abort(session_, tokens);
    return {};
  }

  Status Observe(std::uint32_t name_space, std::uint64_t, const Observation& observation,
                 TimePoint) override {
    return cache_->Observe(name_space, observation);
  }

 private:
  std::shared_ptr<Cache> cache_;
  SessionId session_;
  std::unordered_map<std::uint32_t, std::uint32_t> grids_;  // By namespace.
};

}  // namespace

std::unique_ptr<Backend> EmbeddedBackend(std::shared_ptr<Cache> cache) {
  return std::make_unique<Embedded>(std::move(cache));
}

}  // namespace cairn

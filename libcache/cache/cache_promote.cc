// From the cold tier to host memory.
#include <chrono>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {

Status Cache::Promote(ObjectId id, const std::shared_ptr<Completion>& waiter) {
  Object& object = index_.object(id);
  CAIRN_CHECK(object.Has(Object::kCold) && !object.Has(Object::kHost));
  Promotion& promotion = promotions_[id];
  if (waiter != nullptr) {
    promotion.waiters.push_back(waiter);
  }
  if (object.Has(Object::kPromoting)) {
    return {};
  }
  const auto give_up = [&](Status status) CAIRN_REQUIRES(mu_) {
    promotions_.erase(id);
    stats_.promotion_failures += 1;
    return status;
  };
  if (Status room = host_.Allocate(id, Object::kPromoting); !room) {
    return give_up(std::move(room));
  }
  object.io_pins += 1;
  ObjectRecord expected = RecordOf(id);
  const NamespaceSpec& spec = namespaces_[index_.node(object.node).name_space].spec;
  expected.coded = spec.fidelity != Fidelity::kExact;
  const ColdLocation location = object.cold;
  const std::span<std::byte> target = arena_->Payload(object.arena_offset()).first(object.bytes);
  const bool taken = readers_->Submit(
      [this, id, expected, location, target] { PromoteObject(id, expected, location, target); });
  if (!taken) {
    object.io_pins -= 1;
    host_.Abandon(id, Object::kPromoting);
    return give_up(Fail(ErrorCode::kOverloaded, "too many reads from SSD are waiting"));
  }
  return {};
}

void Cache::PromoteObject(ObjectId id, ObjectRecord expected, ColdLocation location,
                          std::span<std::byte> target) {
  const TimePoint start = SteadyClock::Instance().Now();
  Status status;
  // After a lossy codec it is another digest than that of the copy which was in memory.
  const Result<ObjectRecord> stored = cold_->ReadRecord(location);
  if (stored && stored->coded && !expected.coded) {
    status = Fail(ErrorCode::kCorrupt, "coded values in a namespace that is exact");
  } else if (stored) {
    expected.digest = stored->digest;
    expected.coded = stored->coded;
    status = cold_->Read(location, expected, target);
  } else {
    status = Fail(stored.error());
  }
  const double us =
      std::chrono::duration<double, std::micro>(SteadyClock::Instance().Now() - start).count();
  if (status && us > 0) {
    const MutexLock lock(mu_);
    cold_bytes_per_us_ +=
        kAverageWeight * (static_cast<double>(target.size()) / us - cold_bytes_per_us_);
  }
  FinishPromotion(id, status, expected);
}

void Cache::FinishPromotion(ObjectId id, const Status& status, const ObjectRecord& read) {
  std::vector<std::shared_ptr<Completion>> waiters;
  ColdLocation dropped;
  bool drop = false;
  {
    const MutexLock lock(mu_);
    Object& object = index_.object(id);
    object.io_pins -= 1;
    if (const auto it = promotions_.find(id); it != promotions_.end()) {
      waiters = std::move(it->second.waiters);
      promotions_.erase(it);
    }
    if (status) {
      stats_.promotions += 1;
      host_.Publish(id, Object::kPromoting, read.digest);
      if (read.coded) {
        object.Set(Object::kCoded);
      }
    } else {
      stats_.promotion_failures += 1;
      const ErrorCode code = status.error().code;
      stats_.checksum_failures += code == ErrorCode::kCorrupt ? 1 : 0;
      host_.Abandon(id, Object::kPromoting);
      // Other errors may pass; bytes that are wrong or gone will not come back.
      const bool lost = code == ErrorCode::kCorrupt || code == ErrorCode::kNotFound;
      if (object.Has(Object::kCold) && lost) {
        drop = true;
        dropped = object.cold;
        const EvictReason reason =
            code == ErrorCode::kCorrupt ? EvictReason::kCorrupt : EvictReason::kColdSegment;
        stats_.evictions[static_cast<std::size_t>(reason)] += 1;
        ForgetCold(id);
      } else if (!object.Readable()) {
        index_.RemoveObject(id);  // Its segment went while it was being read.
      }
    }
  }
  if (drop) {
    cold_->Drop(dropped);
  }
  for (const auto& waiter : waiters) {
    waiter->Done(status ? ErrorCode::kOk : status.error().code);
  }
}

}  // namespace cairn

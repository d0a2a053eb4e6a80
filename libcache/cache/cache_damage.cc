// What becomes of objects whose bytes are wrong.
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {

bool Cache::Condemn(ObjectId id, ColdLocation& cold) {
  const Object& object = index_.object(id);
  const bool on_cold = object.Has(Object::kCold);
  if (on_cold) {
    // Its copy there was read or written with these very bytes.
    cold = object.cold;
    ForgetCold(id);
  }
  if (!host_.Drop(id, EvictReason::kCorrupt)) {
    index_.object(id).Set(Object::kDoomed);  // Somebody is at it; it goes when they are done.
  }
  return on_cold;
}

Status Cache::ReportCorrupt(SessionId session, LeaseId lease_id, std::uint32_t index) {
  ColdLocation dropped;
  bool drop = false;
  {
    const MutexLock lock(mu_);
    const auto lease = FindLease(session, lease_id);
    if (!lease) {
      return Fail(lease.error());
    }
    if (index >= (*lease)->served.size()) {
      return Fail(ErrorCode::kInvalidArgument, "no such object under this lease");
    }
    stats_.checksum_failures += 1;
    const ServedObject served = (*lease)->served[index];
    if (!IsStill(served)) {
      return {};  // Replaced since; the reader saw a slot change hands.
    }
    drop = Condemn(served.id, dropped);
  }
  if (drop) {
    cold_->Drop(dropped);
  }
  return {};
}

Status Cache::ReportCorruptOnDevice(SessionId session, LeaseId lease_id, std::uint32_t index) {
  const MutexLock lock(mu_);
  const auto lease = FindLease(session, lease_id);
  if (!lease) {
    return Fail(lease.error());
  }
  if (index >= (*lease)->served.size() || (*lease)->device.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "no such object in device memory under this lease");
  }
  stats_.checksum_failures += 1;
  const ServedObject& served = (*lease)->served[index];
  if (IsStill(served)) {
    gpu_->Forget(served.id);
  }
  return {};
}

}  // namespace cairn

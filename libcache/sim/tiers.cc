#include "libcache/sim/tiers.h"

#include <algorithm>

#include "libcache/base/check.h"

namespace cairn::sim {

Tiers::Tiers(std::span<const TierOptions> tiers)
    : tiers_(tiers.begin(), tiers.end()), reports_(tiers.size()), lists_(tiers.size()) {
  CAIRN_CHECK(!tiers_.empty() && tiers_.size() < kNowhere);
}

void Tiers::PushNewest(std::uint8_t tier, Object object) {
  List& list = lists_[tier];
  Entry& entry = entries_[object];
  entry.tier = tier;
  entry.newer = kNone;
  entry.older = list.newest;
  (list.newest == kNone ? list.oldest : entries_[list.newest].newer) = object;
  list.newest = object;
  list.used_bytes += entry.bytes;
}

void Tiers::Unlink(Object object) {
  Entry& entry = entries_[object];
  List& list = lists_[entry.tier];
  (entry.newer == kNone ? list.newest : entries_[entry.newer].older) = entry.older;
  (entry.older == kNone ? list.oldest : entries_[entry.older].newer) = entry.newer;
  list.used_bytes -= entry.bytes;
  entry.tier = kNowhere;
}

void Tiers::MoveDown() {
  for (std::size_t tier = 0; tier < tiers_.size(); ++tier) {
    const bool last = tier + 1 == tiers_.size();
    while (!last && lists_[tier].used_bytes > tiers_[tier].capacity_bytes) {
      const Object object = lists_[tier].oldest;
      Unlink(object);
      PushNewest(static_cast<std::uint8_t>(tier + 1), object);
      reports_[tier + 1].written_bytes += entries_[object].bytes;
    }
    reports_[tier].peak_bytes = std::max(reports_[tier].peak_bytes, lists_[tier].used_bytes);
  }
}

void Tiers::Use(Object object, std::uint64_t bytes) {
  if (object >= entries_.size()) {
    entries_.resize(std::max<std::size_t>(std::size_t{object} + 1, 2 * entries_.size()));
  }
  const std::uint8_t before = entries_[object].tier;
  if (before != kNowhere) {
    Unlink(object);
  }
  if (before != 0) {
    reports_[0].written_bytes += bytes;
  }
  entries_[object].bytes = bytes;
  PushNewest(0, object);
  MoveDown();
}

void Tiers::Remove(Object object) {
  if (object < entries_.size() && entries_[object].tier != kNowhere) {
    Unlink(object);
  }
}

void Tiers::Cut(Object upper, Object lower, std::uint64_t upper_bytes) {
  if (lower >= entries_.size() || entries_[lower].tier == kNowhere) {
    return;
  }
  if (upper >= entries_.size()) {
    entries_.resize(std::max<std::size_t>(std::size_t{upper} + 1, 2 * entries_.size()));
  }
  Entry& rest = entries_[lower];
  CAIRN_CHECK(entries_[upper].tier == kNowhere && upper_bytes <= rest.bytes);
  rest.bytes -= upper_bytes;
  lists_[rest.tier].used_bytes -= upper_bytes;
  // The upper part is on the path of the request that cut it, and will be used with it.
  entries_[upper].bytes = upper_bytes;
  PushNewest(rest.tier, upper);
}

double Tiers::LoadSeconds(Object object) const {
  if (object >= entries_.size() || entries_[object].tier == kNowhere) {
    return 0;
  }
  const Entry& entry = entries_[object];
  return static_cast<double>(entry.bytes) / tiers_[entry.tier].bytes_per_s;
}

void Tiers::CountLoad(std::span<const Object> objects) {
  for (const Object object : objects) {
    CAIRN_CHECK(object < entries_.size() && entries_[object].tier != kNowhere);
    TierReport& report = reports_[entries_[object].tier];
    report.loaded_bytes += entries_[object].bytes;
    report.load_s += LoadSeconds(object);
  }
  if (!objects.empty()) {
    ++reports_[entries_[objects.back()].tier].hits;
  }
}

}  // namespace cairn::sim

#include "libcache/tier/ssd_segments.h"

#include <algorithm>
#include <cmath>

#include "libcache/base/check.h"
#include "libcache/tier/ssd_record.h"

namespace cairn {

void SsdSegments::Open(std::uint32_t segment, std::uint64_t room) {
  CAIRN_CHECK(!segments_.contains(segment));
  const double mean = MeanHits();
  segments_[segment].hits = mean;
  open_ = segment;
  open_room_ = room;
  next_ordinal_ = 0;
}

bool SsdSegments::HasRoom(std::uint64_t charge) const {
  return open_ && charge <= open_room_ && next_ordinal_ < kSsdMaxOrdinals;
}

std::optional<ColdLocation> SsdSegments::Reserve(std::uint64_t charge) {
  if (!HasRoom(charge)) {
    return std::nullopt;
  }
  open_room_ -= charge;
  return ColdLocation{.segment = *open_, .ordinal = next_ordinal_++};
}

void SsdSegments::Charge(std::uint64_t bytes) { open_room_ -= std::min(open_room_, bytes); }

void SsdSegments::Refund(std::uint32_t segment, std::uint64_t bytes) {
  if (open_ == segment) {
    open_room_ += bytes;
  }
}

void SsdSegments::Add(ColdLocation location, std::uint64_t bytes, std::uint32_t cookie,
                      bool framed) {
  CAIRN_CHECK(bytes > 0 && location.ordinal < kSsdMaxOrdinals);
  Segment& segment = segments_[location.segment];
  if (segment.entries.size() <= location.ordinal) {
    segment.entries.resize(location.ordinal + 1U);
  }
  Entry& entry = segment.entries[location.ordinal];
  CAIRN_CHECK(entry.bytes == 0);
  entry = {.bytes = bytes, .cookie = cookie, .framed = framed};
  segment.live_bytes += bytes;
  totals_.live_bytes += bytes;
  ++totals_.objects;
}

bool SsdSegments::Holds(ColdLocation location) const {
  const auto it = segments_.find(location.segment);
  return it != segments_.end() && location.ordinal < it->second.entries.size() &&
         it->second.entries[location.ordinal].bytes != 0;
}

bool SsdSegments::Framed(ColdLocation location) const {
  return Holds(location) && segments_.at(location.segment).entries[location.ordinal].framed;
}

void SsdSegments::Hit(ColdLocation location) {
  if (Holds(location)) {
    segments_.at(location.segment).hits += 1.0;
  }
}

bool SsdSegments::Drop(ColdLocation location) {
  if (!Holds(location)) {
    return false;
  }
  Segment& segment = segments_.at(location.segment);
  Entry& entry = segment.entries[location.ordinal];
  segment.live_bytes -= entry.bytes;
  totals_.live_bytes -= entry.bytes;
  --totals_.objects;
  entry = {};
  return true;
}

std::optional<std::uint32_t> SsdSegments::Victim() const {
  std::optional<std::uint32_t> victim;
  double least = 0;
  for (const auto& [number, segment] : segments_) {
    if (open_ == number) {
      continue;
    }
    // One without live bytes is worth nothing, however often it was hit.
    const double worth =
        segment.live_bytes == 0 ? -1.0 : segment.hits / static_cast<double>(segment.live_bytes);
    // The map is ordered by age, so among equals the oldest stays chosen.
    if (!victim || worth < least) {
      victim = number;
      least = worth;
    }
  }
  return victim;
}

std::vector<ColdGone> SsdSegments::Remove(std::uint32_t segment) {
  const auto it = segments_.find(segment);
  CAIRN_CHECK(it != segments_.end());
  std::vector<ColdGone> gone;
  std::uint32_t ordinal = 0;
  for (const Entry& entry : it->second.entries) {
    if (entry.bytes != 0) {
      gone.push_back(
          {.cookie = entry.cookie, .location = {.segment = segment, .ordinal = ordinal}});
      --totals_.objects;
    }
    ++ordinal;
  }
  totals_.live_bytes -= it->second.live_bytes;
  if (open_ == segment) {
    open_.reset();
  }
  segments_.erase(it);
  return gone;
}

void SsdSegments::Decay() {
  const double factor =
      std::exp2(-2.0 / static_cast<double>(std::max<std::size_t>(segments_.size(), 2)));
  for (auto& [number, segment] : segments_) {
    segment.hits *= factor;
  }
}

std::vector<std::uint32_t> SsdSegments::Numbers() const {
  std::vector<std::uint32_t> numbers;
  numbers.reserve(segments_.size());
  for (const auto& [number, segment] : segments_) {
    numbers.push_back(number);
  }
  return numbers;
}

double SsdSegments::MeanHits() const {
  double sum = 0;
  for (const auto& [number, segment] : segments_) {
    sum += segment.hits;
  }
  return segments_.empty() ? 0 : sum / static_cast<double>(segments_.size());
}

}  // namespace cairn

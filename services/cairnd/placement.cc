#include "services/cairnd/placement.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "libcache/tier/ssd_files.h"
#include "services/placement_file/placement_file.h"

namespace cairn::server {
namespace {

// What anybody could have counted. More is damage, or a trick to outweigh all others.
constexpr double kMostMass = 1e9;
constexpr double kOldestSeconds = 1e9;
constexpr std::uint32_t kMostUses = 1U << 30U;

const char* KindName(SiteKind kind) {
  switch (kind) {
    case SiteKind::kTip: return "tip";
    case SiteKind::kTurn: return "turn";
    case SiteKind::kJunction: return "junction";
  }
  return "";
}

void SetPlace(v1::PlaceStatus& to, const PlaceView& from,
              const std::vector<Cache::NamespaceView>& namespaces) {
  to.set_key(from.key == PrefixKey{} ? "" : from.key.Hex());
  to.set_position(from.position);
  to.set_kind(KindName(from.kind));
  if (from.name_space < namespaces.size()) {
    to.set_model(namespaces[from.name_space].spec.model);
    to.set_tenant(namespaces[from.name_space].spec.tenant);
  }
  to.set_uses(from.uses);
  to.set_mass(from.mass);
  to.set_uses_per_s(from.uses_per_s);
  to.set_idle_s(from.idle_s);
  to.set_children(from.children);
}

void SetCheckpoint(v1::CheckpointStatus& to, const CheckpointView& from) {
  to.set_position(from.position);
  to.set_uses_per_s(from.uses_per_s);
  to.set_saved_s(from.saved_s);
  to.set_bytes(from.bytes);
  to.set_value_per_byte_s(from.value_per_byte_s);
}

void SetRecord(v1::PlaceStatistics& to, const PlaceRecord& from) {
  to.set_key(from.key.bytes.data(), PrefixKey::kBytes);
  to.set_above(from.above.bytes.data(), PrefixKey::kBytes);
  to.set_position(from.position);
  // What is written can be read again: sums of many daemons, clocks that were set.
  to.set_mass(std::clamp(from.what.mass, 0.0, kMostMass));
  to.set_age_s(std::clamp(from.what.age_s, 0.0, kOldestSeconds));
  to.set_uses(std::min(from.what.uses, kMostUses));
  to.set_turns(from.what.turns);
  to.set_gap_bin(from.what.gap_bin);
  to.set_is_tip(from.what.is_tip);
}

Result<PlaceRecord> RecordOf(const v1::PlaceStatistics& from, double older_s) {
  PlaceRecord record;
  const bool keys = record.key.Assign(from.key()) && record.above.Assign(from.above());
  // Not so for what is no number.
  const bool sound = from.mass() >= 0 && from.mass() <= kMostMass && from.age_s() >= 0 &&
                     from.age_s() <= kOldestSeconds && from.uses() <= kMostUses &&
                     from.turns() <= UINT8_MAX &&
                     (from.gap_bin() < AgeBins::kCount || from.gap_bin() == SiteTraits::kNoGap);
  if (!keys || !sound) {
    return Fail(ErrorCode::kCorrupt, "a place with a key, a mass, an age or a count out of range");
  }
  record.position = from.position();
  record.what = {.mass = from.mass(),
                 .age_s = std::min(kOldestSeconds, from.age_s() + older_s),
                 .uses = from.uses(),
                 .turns = static_cast<std::uint8_t>(from.turns()),
                 .gap_bin = static_cast<std::uint8_t>(from.gap_bin()),
                 .is_tip = from.is_tip()};
  return record;
}

}  // namespace

Result<v1::PlacementShowReply> ShowPlacement(const Cache& cache, std::uint32_t max_places) {
  const auto summary = cache.Placement(max_places);
  if (!summary) {
    return Fail(summary.error());
  }
  const auto namespaces = cache.Namespaces();
  v1::PlacementShowReply reply;
  reply.set_places(summary->places);
  reply.set_most_places(summary->most_places);
  reply.set_waiting_places(summary->waiting_places);
  reply.set_checkpoints(summary->checkpoints);
  reply.set_other_boundaries(summary->plain);
  reply.set_memory_bytes(summary->memory_bytes);
  reply.set_price_per_byte_s(summary->price_per_byte_s);
  reply.set_engine_written_bytes(summary->engine_written_bytes);
  reply.set_engine_served_tokens(summary->engine_served_tokens);
  reply.set_planned_bytes(summary->planned_bytes);
  for (const PlaceView& view : summary->top) {
    SetPlace(*reply.add_top(), view, namespaces);
  }
  return reply;
}

Result<v1::PlacementExplainReply> ExplainPlacement(const Cache& cache, const std::string& key_hex) {
  const auto path = cache.ExplainPlacement(key_hex);
  if (!path) {
    return Fail(path.error());
  }
  const auto namespaces = cache.Namespaces();
  v1::PlacementExplainReply reply;
  for (const PlaceView& view : path->places) {
    SetPlace(*reply.add_places(), view, namespaces);
  }
  for (const CheckpointView& view : path->kept) {
    SetCheckpoint(*reply.add_kept(), view);
  }
  if (path->next) {
    SetCheckpoint(*reply.mutable_next(), *path->next);
  }
  reply.set_price_per_byte_s(path->price_per_byte_s);
  return reply;
}

Result<v1::PlacementExportReply> ExportPlacement(const Cache& cache, std::uint32_t from) {
  v1::PlacementExportReply reply;
  v1::PlacementStatistics& part = *reply.mutable_part();
  part.set_version(kPlacementVersion);
  part.set_saved_at_unix_s(UnixSeconds());
  if (from == 0) {
    const auto models = cache.LearnedModels();
    if (!models) {
      return Fail(models.error());
    }
    part.mutable_reuse()->Add(models->reuse.begin(), models->reuse.end());
    part.mutable_distance()->Add(models->distance.begin(), models->distance.end());
  }
  const auto page = cache.LearnedPlaces(from);
  if (!page) {
    return Fail(page.error());
  }
  for (const PlaceRecord& record : page->places) {
    SetRecord(*part.add_places(), record);
  }
  reply.set_next(page->next);
  return reply;
}

Result<ImportedPlacement> ImportPlacement(Cache& cache, const v1::PlacementStatistics& part) {
  if (part.version() != kPlacementVersion) {
    return Fail(ErrorCode::kUnsupported, "statistics of version " + std::to_string(part.version()) +
                                             "; this daemon knows version " +
                                             std::to_string(kPlacementVersion));
  }
  // A clock that was set back must not make places younger.
  // Nor must a time that is no number reach anything: of it and 0, max gives the first.
  const double older_s = std::max(0.0, UnixSeconds() - part.saved_at_unix_s());
  std::vector<PlaceRecord> places;
  places.reserve(static_cast<std::size_t>(part.places_size()));
  for (const v1::PlaceStatistics& from : part.places()) {
    const auto record = RecordOf(from, older_s);
    if (!record) {
      return Fail(record.error());
    }
    places.push_back(*record);
  }
  ImportedPlacement imported;
  if (part.reuse_size() != 0 || part.distance_size() != 0) {
    const Status merged =
        cache.MergeLearnedModels({.reuse = {part.reuse().begin(), part.reuse().end()},
                                  .distance = {part.distance().begin(), part.distance().end()}});
    if (!merged && merged.error().code != ErrorCode::kUnsupported) {
      return Fail(merged.error());
    }
    if (!merged) {
      imported.left_out = merged.error().message;
    }
  }
  // Places above before those below them.
  std::sort(places.begin(), places.end(),
            [](const PlaceRecord& a, const PlaceRecord& b) { return a.position < b.position; });
  const auto taken = cache.MergeLearnedPlaces(places);
  if (!taken) {
    return Fail(taken.error());
  }
  imported.places = *taken;
  return imported;
}

Status SavePlacement(const Cache& cache, const std::string& path) {
  v1::PlacementStatistics whole;
  std::uint32_t from = 0;
  do {
    const auto page = ExportPlacement(cache, from);
    if (!page) {
      return Fail(page.error());
    }
    whole.MergeFrom(page->part());
    from = page->next();
  } while (from != 0);
  const std::filesystem::path file(path);
  const std::string directory = file.has_parent_path() ? file.parent_path().string() : ".";
  if (Status made = MakeDirectory(directory); !made) {
    return made;
  }
  const auto bytes = EncodePlacement(whole);
  if (!bytes) {
    return Fail(bytes.error());
  }
  return WriteFileDurably(directory, file.filename().string(), *bytes);
}

Result<ImportedPlacement> LoadPlacement(Cache& cache, const std::string& path) {
  const auto whole = ReadPlacementFile(path);
  if (!whole) {
    return Fail(whole.error());
  }
  auto imported = ImportPlacement(cache, *whole);
  cache.SortLearnedPlaces();
  return imported;
}

}  // namespace cairn::server

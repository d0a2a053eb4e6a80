#pragma once

#include <cstdint>
#include <string>

#include "cairn/v1/admin.pb.h"
#include "libcache/cache/cache.h"

namespace cairn::server {

// The learned placement in messages and in its file. Thread-safe, as the cache is. All fail with
// kUnsupported where the planner learns nothing.

Result<v1::PlacementShowReply> ShowPlacement(const Cache& cache, std::uint32_t max_places);
/// Errors: those of Cache::Lookup.
Result<v1::PlacementExplainReply> ExplainPlacement(const Cache& cache, const std::string& key_hex);
/// One page; the first has the models too.
Result<v1::PlacementExportReply> ExportPlacement(const Cache& cache, std::uint32_t from);
struct ImportedPlacement {
  std::uint64_t places = 0;  ///< That were taken.
  std::string left_out;      ///< Models of another version, in words; empty: none.
};
/// Call Cache::SortLearnedPlaces after the last part. Errors: kCorrupt, kUnsupported; then nothing
/// has changed.
Result<ImportedPlacement> ImportPlacement(Cache& cache, const v1::PlacementStatistics& part);

/// Replaces the file so that after a power cut the old or the new one is there.
/// Errors: kIo, kNoSpace, kPermissionDenied, naming the path.
Status SavePlacement(const Cache& cache, const std::string& path);
/// Errors: those of ReadPlacementFile and ImportPlacement.
Result<ImportedPlacement> LoadPlacement(Cache& cache, const std::string& path);

}  // namespace cairn::server

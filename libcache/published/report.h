#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

struct PublishedOptions {
  std::string folder;             ///< With <run>.jsonl and <run>.reference.json.
  std::vector<std::string> runs;  ///< Empty: all eight that were published.
  bool replays = true;
  bool equal_bytes = true;  ///< Of those runs that have rows in the table.
};

/// One strategy on one run, as published and as replayed.
struct PublishedReplay {
  std::string run;
  std::string strategy;
  std::uint64_t total_tokens = 0;
  std::uint64_t reference_tokens = 0;  ///< Saved.
  std::uint64_t tokens = 0;            ///< Saved, ours.
  std::uint64_t reference_hits = 0;
  std::uint64_t hits = 0;
  /// Requests that save another number of tokens than published; nullopt if those are not known.
  std::optional<std::size_t> different_requests;
  /// False where the published log lacks what a replay needs.
  bool checkable = true;

  [[nodiscard]] std::int64_t Delta() const {
    return static_cast<std::int64_t>(tokens) - static_cast<std::int64_t>(reference_tokens);
  }
  [[nodiscard]] bool Exact() const {
    return Delta() == 0 && hits == reference_hits && different_requests.value_or(0) == 0;
  }
};

/// Share of a run's tokens that one cache saves within so many bytes.
struct EqualBytesCell {
  std::string column;
  double share = 0;
  double reference = 0;  ///< Measured before, to three digits; for "ours" the best column's.
};
struct EqualBytesRow {
  std::string run;
  double capacity_gb = 0;  ///< 10^9 bytes.
  std::vector<EqualBytesCell> cells;
};

struct PublishedReport {
  std::vector<PublishedReplay> replays;
  std::vector<EqualBytesRow> equal_bytes;

  [[nodiscard]] std::size_t Checkable() const;
  [[nodiscard]] std::size_t Exact() const;  ///< Of the checkable ones.
};

/// The published runs' names.
std::vector<std::string> PublishedRunNames();

/// Replays the published runs, and compares placements within equal bytes on them, ours too. About
/// 6 s for everything, on one thread; same input, same report.
/// Errors: kNotFound if a file is missing; kInvalidArgument for an unknown run or a file that is
/// not one.
Result<PublishedReport> ReplayPublished(const PublishedOptions& options);

/// Tables for people; ends with a line end.
std::string PublishedText(const PublishedReport& report);
/// One JSON object: {"replays": [..], "checkable": n, "exact": n, "equal_bytes": [..]}.
std::string PublishedJson(const PublishedReport& report);

}  // namespace cairn

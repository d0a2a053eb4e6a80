#include "libcache/published/report.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "libcache/published/byte_placements.h"
#include "libcache/published/replay.h"
#include "libcache/published/run.h"

namespace cairn {
namespace {

constexpr std::array<std::string_view, 8> kRuns = {
    "quality_sim",     "quality_clean",   "system_prompts_sim", "system_prompts_clean",
    "narrativeqa_sim", "synthetic_fixed", "synthetic_normal",   "synthetic_uniform"};

constexpr std::array<std::string_view, 8> kColumns = {
    "block_64 FIFO",  "block_512 FIFO", "block_2048 FIFO",  "dp_5 FIFO",
    "dp_5 LRU+dedup", "hybrid FIFO",    "hybrid LRU+dedup", "ours"};

/// What an earlier simulation, not this program, gave for the first seven columns. Ours is measured
/// against the best of them.
struct ReferenceRow {
  std::string_view run;
  double capacity_gb;
  std::array<double, 7> shares;
};
constexpr std::array<ReferenceRow, 7> kReferenceRows = {{
    {"quality_sim", 0.25, {.017, .094, .146, .138, .157, .188, .205}},
    {"quality_sim", 1, {.076, .284, .374, .367, .446, .468, .601}},
    {"quality_sim", 3, {.198, .561, .622, .641, .783, .755, .825}},
    {"system_prompts_clean", 0.25, {.080, .332, .404, .368, .507, .573, .777}},
    {"system_prompts_clean", 1, {.291, .733, .618, .711, .766, .825, .844}},
    {"narrativeqa_sim", 5, {.050, .192, .313, .351, .421, .387, .472}},
    {"narrativeqa_sim", 15, {.128, .439, .614, .651, .874, .714, .946}},
}};

/// The histogram that NarrativeQA started with and the log of its sqrt are missing, and where
/// nothing is stored there is nothing to check.
bool Checkable(const PublishedRun& run, const PublishedReference& reference) {
  const bool logged = run.synthetic || run.histogram.has_value();
  return reference.strategy != "none" &&
         (logged || (!reference.strategy.starts_with("hist") && reference.strategy != "sqrt"));
}

Result<PublishedReplay> Replay(const PublishedRun& run, const PublishedReference& reference) {
  const auto result = ReplayStrategy(run, reference);
  if (!result) {
    return Fail(result.error());
  }
  PublishedReplay replay = {.run = run.name,
                            .strategy = reference.name,
                            .total_tokens = run.MeasuredTokens(),
                            .reference_tokens = reference.saved_tokens,
                            .tokens = result->saved_tokens,
                            .reference_hits = reference.hits,
                            .hits = result->hits,
                            .different_requests = std::nullopt,
                            .checkable = Checkable(run, reference)};
  if (reference.saved_by_request.size() == result->saved_by_request.size()) {
    std::size_t different = 0;
    for (std::size_t i = 0; i < reference.saved_by_request.size(); ++i) {
      different += reference.saved_by_request[i] != result->saved_by_request[i] ? 1 : 0;
    }
    replay.different_requests = different;
  } else if (!reference.saved_by_request.empty()) {
    return Fail(ErrorCode::kInvalidArgument, run.name + ", " + reference.name +
                                                 ": the reference has another number of requests");
  }
  return replay;
}

Result<double> ShareOfColumn(const PublishedRun& run, double capacity_bytes, std::size_t column) {
  constexpr std::array<std::string_view, 5> kStrategies = {"block:64", "block:512", "block:2048",
                                                           "hist_exp_decay:5", "hist_exp_decay:5"};
  const std::string_view name = kColumns[column];
  const auto kind = name.ends_with("FIFO") ? ByteCacheKind::kFifo : ByteCacheKind::kDedup;
  if (column < kStrategies.size()) {
    auto placement = PublishedBytes::Create(kStrategies[column], run, kind);
    return placement ? SavedShare(run, kind, capacity_bytes, *placement)
                     : Result<double>(Fail(placement.error()));
  }
  if (name.starts_with("hybrid")) {
    auto placement = HybridBytes::Create(run, kind);
    return placement ? SavedShare(run, kind, capacity_bytes, *placement)
                     : Result<double>(Fail(placement.error()));
  }
  BranchBytes placement(run.grid_tokens);
  return SavedShare(run, kind, capacity_bytes, placement);
}

Result<EqualBytesRow> Compare(const PublishedRun& run, const ReferenceRow& reference) {
  EqualBytesRow row = {.run = run.name, .capacity_gb = reference.capacity_gb, .cells = {}};
  for (std::size_t column = 0; column < kColumns.size(); ++column) {
    const auto share = ShareOfColumn(run, reference.capacity_gb * 1e9, column);
    if (!share) {
      return Fail(share.error());
    }
    row.cells.push_back({.column = std::string(kColumns[column]),
                         .share = *share,
                         .reference = reference.shares[std::min(column, std::size_t{6})]});
  }
  return row;
}

Status AddRun(const PublishedOptions& options, const std::string& name, PublishedReport& report) {
  const auto run = LoadPublishedRun(options.folder, name);
  if (!run) {
    return Fail(run.error());
  }
  if (options.replays) {
    const auto references = LoadPublishedReference(options.folder, name);
    if (!references) {
      return Fail(references.error());
    }
    for (const PublishedReference& reference : *references) {
      auto replay = Replay(*run, reference);
      if (!replay) {
        return Fail(replay.error());
      }
      report.replays.push_back(*std::move(replay));
    }
  }
  for (const ReferenceRow& reference : kReferenceRows) {
    if (options.equal_bytes && reference.run == name) {
      auto row = Compare(*run, reference);
      if (!row) {
        return Fail(row.error());
      }
      report.equal_bytes.push_back(*std::move(row));
    }
  }
  return {};
}

}  // namespace

std::size_t PublishedReport::Checkable() const {
  return static_cast<std::size_t>(
      std::count_if(replays.begin(), replays.end(),
                    [](const PublishedReplay& replay) { return replay.checkable; }));
}

std::size_t PublishedReport::Exact() const {
  return static_cast<std::size_t>(std::count_if(
      replays.begin(), replays.end(),
      [](const PublishedReplay& replay) { return replay.checkable && replay.Exact(); }));
}

std::vector<std::string> PublishedRunNames() { return {kRuns.begin(), kRuns.end()}; }

Result<PublishedReport> ReplayPublished(const PublishedOptions& options) {
  const auto known = PublishedRunNames();
  for (const std::string& name : options.runs) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string names;
      for (const std::string& one : known) {
        names += (names.empty() ? "" : ", ") + one;
      }
      return Fail(ErrorCode::kInvalidArgument, "run '" + name + "': must be one of " + names);
    }
  }
  PublishedReport report;
  for (const std::string& name : options.runs.empty() ? known : options.runs) {
    if (const auto added = AddRun(options, name, report); !added) {
      return Fail(added.error());
    }
  }
  return report;
}

}  // namespace cairn

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcache/published/report.h"

namespace cairn {
namespace {

using Row = std::vector<std::string>;

std::string Fixed(double value, int digits, bool sign = false) {
  std::string text(32, '\0');
  const int length =
      std::snprintf(text.data(), text.size(), sign ? "%+.*f" : "%.*f", digits, value);
  text.resize(static_cast<std::size_t>(std::clamp(length, 0, 31)));
  return text;
}

/// Columns as wide as they need to be; the first `left` of them left-aligned.
std::string TableText(const std::vector<Row>& rows, std::size_t left) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (i < left ? row[i] + padding : padding + row[i]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string ReplayText(const PublishedReport& report) {
  std::vector<Row> rows = {{"run", "strategy", "published", "ours", "delta", "note"}};
  for (const PublishedReplay& replay : report.replays) {
    const std::string_view note = !replay.checkable ? "not checkable"
                                  : replay.Exact()  ? "exact"
                                                    : "DIFFERS";
    rows.push_back({replay.run, replay.strategy, std::to_string(replay.reference_tokens),
                    std::to_string(replay.tokens), std::to_string(replay.Delta()),
                    std::string(note)});
  }
  return "Tokens saved by the published cache\n\n" + TableText(rows, 2) + '\n' +
         std::to_string(report.Exact()) + " of " + std::to_string(report.Checkable()) +
         " runs that can be checked are exact.\n";
}

std::string EqualBytesText(const PublishedReport& report) {
  Row header = {"run", "GB"};
  for (const EqualBytesCell& cell : report.equal_bytes.front().cells) {
    header.push_back(cell.column);
  }
  std::vector<Row> rows = {header};
  for (const EqualBytesRow& row : report.equal_bytes) {
    Row cells = {row.run, Fixed(row.capacity_gb, 2)};
    for (const EqualBytesCell& cell : row.cells) {
      cells.push_back(Fixed(cell.share, 4) + " (" + Fixed(cell.share - cell.reference, 4, true) +
                      ")");
    }
    rows.push_back(std::move(cells));
  }
  return "Share of the tokens saved within equal bytes, from a cold start (in brackets: less what "
         "an "
         "earlier\nsimulation gave; for ours, less its best column)\n\n" +
         TableText(rows, 1);
}

}  // namespace

std::string PublishedText(const PublishedReport& report) {
  std::string text;
  if (!report.replays.empty()) {
    text += ReplayText(report);
  }
  if (!report.equal_bytes.empty()) {
    text += (text.empty() ? "" : "\n") + EqualBytesText(report);
  }
  return text.empty() ? "Nothing was asked for.\n" : text;
}

std::string PublishedJson(const PublishedReport& report) {
  using Json = nlohmann::ordered_json;
  Json replays = Json::array();
  for (const PublishedReplay& replay : report.replays) {
    replays.push_back(
        {{"run", replay.run},
         {"strategy", replay.strategy},
         {"total_tokens", replay.total_tokens},
         {"published_tokens", replay.reference_tokens},
         {"tokens", replay.tokens},
         {"delta", replay.Delta()},
         {"published_hits", replay.reference_hits},
         {"hits", replay.hits},
         {"different_requests",
          replay.different_requests ? Json(*replay.different_requests) : Json(nullptr)},
         {"checkable", replay.checkable},
         {"exact", replay.Exact()}});
  }
  Json rows = Json::array();
  for (const EqualBytesRow& row : report.equal_bytes) {
    Json cells = Json::array();
    for (const EqualBytesCell& cell : row.cells) {
      cells.push_back(
          {{"column", cell.column}, {"share", cell.share}, {"reference", cell.reference}});
    }
    rows.push_back({{"run", row.run}, {"capacity_gb", row.capacity_gb}, {"cells", cells}});
  }
  const Json document = {{"replays", replays},
                         {"checkable", report.Checkable()},
                         {"exact", report.Exact()},
                         {"equal_bytes", rows}};
  // Names come from files: bytes that are not UTF-8 must not throw.
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cairn

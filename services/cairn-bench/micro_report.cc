#include "services/cairn-bench/micro_report.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

std::string Text(double value, MicroReport::Unit unit) {
  if (value < 0) {
    return "-";
  }
  switch (unit) {
    case MicroReport::Unit::kCount: return Grouped(static_cast<std::uint64_t>(value));
    case MicroReport::Unit::kBytes: return FormatBytes(static_cast<std::uint64_t>(value));
    case MicroReport::Unit::kBytesPerSecond: return GigabytesPerSecond(value);
    case MicroReport::Unit::kMicroseconds: return Microseconds(value);
    case MicroReport::Unit::kRatio: return Fixed(value, 2);
  }
  return "";
}

}  // namespace

MicroReport::MicroReport(std::string name, std::string what, std::vector<Column> columns)
    : name_(std::move(name)), what_(std::move(what)), columns_(std::move(columns)) {}

void MicroReport::Add(std::vector<double> row) {
  CAIRN_CHECK(row.size() == columns_.size());
  rows_.push_back(std::move(row));
}

void MicroReport::Note(std::string text) { notes_.push_back(std::move(text)); }

void MicroReport::Print(bool json) const {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  if (json) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const auto& row : rows_) {
      nlohmann::ordered_json& object = rows.emplace_back(nlohmann::ordered_json::object());
      for (std::size_t i = 0; i < columns_.size(); ++i) {
        object[columns_[i].name] =
            row[i] < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(row[i]);
      }
    }
    const nlohmann::ordered_json all = {
        {"benchmark", name_}, {"what", what_}, {"cores", cores}, {"rows", rows}, {"notes", notes_}};
    std::puts(all.dump(2).c_str());
    return;
  }
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
  }
  Table table(titles);
  for (const auto& row : rows_) {
    std::vector<std::string> cells;
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(Text(row[i], columns_[i].unit));
    }
    table.Add(std::move(cells));
  }
  std::printf("%s: %s\n\n%s", name_.c_str(), what_.c_str(), table.Text().c_str());
  for (const std::string& note : notes_) {
    std::printf("%s\n", note.c_str());
  }
  std::printf("%u cores.\n", cores);
}

int MicroFailed(std::string_view benchmark, const Error& error) {
  Complain(std::string(benchmark) + ": " + error.message);
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace cairn::bench

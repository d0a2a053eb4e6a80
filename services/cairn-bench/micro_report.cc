#include "services/cairn-bench/micro_report.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

using Object = nlohmann::ordered_json;

unsigned Cores() { return std::max(1U, std::thread::hardware_concurrency()); }

std::string Shown(double value, MicroReport::Unit unit) {
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

std::string MicroReport::Json() const {
  Object rows = Object::array();
  for (const auto& row : rows_) {
    Object& object = rows.emplace_back(Object::object());
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      object[columns_[i].name] = row[i] < 0 ? Object() : Object(row[i]);
    }
  }
  const Object all = {
      {"benchmark", name_}, {"what", what_}, {"cores", Cores()}, {"rows", rows}, {"notes", notes_}};
  return all.dump(2) + "\n";
}

std::string MicroReport::Text() const {
  std::vector<std::string> titles;
  titles.reserve(columns_.size());
  for (const Column& column : columns_) {
    titles.push_back(column.title);
  }
  Table table(titles);
  for (const auto& row : rows_) {
    std::vector<std::string> cells;
    cells.reserve(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(Shown(row[i], columns_[i].unit));
    }
    table.Add(std::move(cells));
  }
  std::string text = name_ + ": " + what_ + "\n\n" + table.Text();
  for (const std::string& note : notes_) {
    text += note + "\n";
  }
  return text + std::to_string(Cores()) + " cores.\n";
}

int MicroReport::Finish(const MicroOptions& options) const {
  return Print(Json(), Text(), options.json, options.save);
}

int MicroFailed(std::string_view benchmark, const Error& error) {
  Complain(std::string(benchmark) + ": " + error.message);
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace cairn::bench

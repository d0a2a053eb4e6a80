#include "services/cairnctl/table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "libcache/base/check.h"
#include "services/cairnctl/format.h"

namespace cairn::ctl {

Style Style::Of(std::FILE* file) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread.
  const char* const refused = std::getenv("NO_COLOR");
  // NOLINTNEXTLINE(concurrency-mt-unsafe): as above.
  const char* const terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return {.colour = isatty(fileno(file)) == 1 && (refused == nullptr || *refused == '\0') && !dumb};
}

std::string Style::Bold(std::string_view text) const {
  return colour ? "\033[1m" + std::string(text) + "\033[0m" : std::string(text);
}

std::string Style::State(std::string_view text) const {
  if (!colour || text == "off") {
    return std::string(text);
  }
  const bool good = text == "ok" || text == "serving";
  return (good ? "\033[32m" : "\033[33m") + std::string(text) + "\033[0m";
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const Column& column : columns_) {
    widths_.push_back(Width(column.title));
  }
}

void Table::AddRow(std::vector<std::string> cells) {
  CAIRN_CHECK(cells.size() <= columns_.size());
  cells.resize(columns_.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i] = Printable(cells[i]);
    widths_[i] = std::max(widths_[i], Width(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Line(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths_[i] - Width(cells[i]), ' ');
    line += i == 0 ? "" : "  ";
    line += columns_[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string Table::Text(const Style& style) const {
  std::vector<std::string> titles;
  titles.reserve(columns_.size());
  for (const Column& column : columns_) {
    titles.push_back(column.title);
  }
  std::string text = style.Bold(Line(titles)) + "\n";
  for (const auto& row : rows_) {
    text += Line(row) + "\n";
  }
  return text;
}

}  // namespace cairn::ctl

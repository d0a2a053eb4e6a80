#include "services/terminal/table.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <utility>

namespace cairn::terminal {
namespace {

constexpr std::size_t kGap = 2;

}  // namespace

Table::Table(std::vector<std::string> header) : has_header_(!header.empty()) {
  if (has_header_) {
    rows_.push_back(std::move(header));
  }
}

void Table::Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

std::string Table::Text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      const std::string& cell = rows_[r][i];
      const std::string padding(widths[i] - cell.size() + (i == 0 ? 0 : kGap), ' ');
      line += i == 0 ? cell + padding : padding + cell;
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    if (r == 0 && has_header_) {
      std::size_t width = 0;
      for (const std::size_t w : widths) {
        width += w + kGap;
      }
      text += std::string(width - kGap, '-') + '\n';
    }
  }
  return text;
}

std::string Grouped(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string Percent(double share) { return Fixed(100 * share, 1) + " %"; }

std::string Percent(double part, double whole) {
  return whole > 0 ? Fixed(100 * part / whole, 1) + " %" : "-";
}

std::string Fixed(double value, int digits) {
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  return buffer;
}

std::string Shortest(double value) {
  char buffer[64];
  const auto result = std::to_chars(std::begin(buffer), std::end(buffer), value);
  return {std::begin(buffer), result.ptr};
}

}  // namespace cairn::terminal

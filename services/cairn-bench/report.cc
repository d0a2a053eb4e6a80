#include "services/cairn-bench/report.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <utility>

namespace cairn::bench {
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

std::string Fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  return buffer;
}

std::string Percent(double share) { return Fixed(100 * share, 1) + " %"; }

std::string Microseconds(double us) {
  const auto text = [](double value, const char* unit) {
    return Fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + unit;
  };
  if (us < 1) {
    return Fixed(us * 1e3, 0) + " ns";
  }
  if (us < 1e3) {
    return text(us, "us");
  }
  return us < 1e6 ? text(us / 1e3, "ms") : text(us / 1e6, "s");
}

std::string GigabytesPerSecond(double bytes_per_second) {
  return Fixed(bytes_per_second / 1e9, 2) + " GB/s";
}

int Print(const std::string& json, const std::string& text, bool as_json, const std::string& save) {
  std::fputs((as_json ? json : text).c_str(), stdout);
  if (save.empty()) {
    return kExitOk;
  }
  std::ofstream file(save, std::ios::trunc);
  file << json;
  file.close();
  if (!file) {
    Complain("--save: cannot write " + save);
    return kExitFailed;
  }
  return kExitOk;
}

void Complain(const std::string& text) { std::fprintf(stderr, "cairn-bench: %s\n", text.c_str()); }

}  // namespace cairn::bench

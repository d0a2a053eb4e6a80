#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::ctl {

/// How text looks: plain, or with the terminal's bold and colours.
struct Style {
  bool colour = false;

  /// Colours only on a terminal that did not refuse them ($NO_COLOR, TERM=dumb).
  static Style Of(std::FILE* file);
  [[nodiscard]] std::string Bold(std::string_view text) const;
  /// A state: green if it is "ok" or "serving", else yellow; "off" stays plain.
  [[nodiscard]] std::string State(std::string_view text) const;
};

enum class Align { kLeft, kRight };

/// Rows under headings, aligned. Cells are made Printable.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns);
  /// Missing cells are empty; there may not be more than columns.
  void AddRow(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Lines with their ends.
  [[nodiscard]] std::string Text(const Style& style) const;

 private:
  [[nodiscard]] std::string Line(const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cairn::ctl

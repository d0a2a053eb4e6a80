#include "services/cairn-sim/html_matrix.h"

#include <algorithm>
#include <cstddef>

#include "services/cairn-sim/html_chart.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {
namespace {

bool Online(const SweepCell& cell) { return cell.run.sim.strategy != "oracle"; }

/// `row` are the cells of one capacity.
double Best(const Matrix& matrix, std::span<const SweepCell> row) {
  double best = 0;
  for (const SweepCell& cell : row) {
    if (cell.result && Online(cell)) {
      best = std::max(best, matrix.value(cell.result->report));
    }
  }
  return best;
}

std::string CellHtml(const Matrix& matrix, const SweepCell& cell, double best) {
  if (!cell.result) {
    return Element("td", "failed",
                   "class=\"failed\" title=\"" + HtmlEscape(cell.result.error().message) + "\"");
  }
  const double value = matrix.value(cell.result->report);
  const bool bold = matrix.bold_best && Online(cell) && best > 0 && value >= best;
  return Element("td", terminal::Fixed(value, matrix.digits), bold ? "class=\"best\"" : "");
}

std::string RowName(const std::string& classes, const std::string& name) {
  return Element("th", Sample("line", classes) + HtmlEscape(name), "scope=\"row\"");
}

}  // namespace

std::string MatrixHtml(const Matrix& matrix, std::span<const SweepCell> cells,
                       const std::vector<std::string>& classes) {
  const std::size_t strategies = classes.size();
  std::string head = Element("th", "strategy", "scope=\"col\"");
  std::vector<double> best;
  for (std::size_t i = 0; i < cells.size(); i += strategies) {
    head += Element("th", SizeText(cells[i].run.sim.capacity_bytes), "scope=\"col\"");
    best.push_back(Best(matrix, cells.subspan(i, strategies)));
  }
  std::string rows;
  for (std::size_t s = 0; s < strategies; ++s) {
    std::string row = RowName(classes[s], PairName(cells[s].run.sim));
    for (std::size_t c = 0; c < best.size(); ++c) {
      row += CellHtml(matrix, cells[c * strategies + s], best[c]);
    }
    rows += Element("tr", row) + "\n";
  }
  if (!matrix.last.name.empty()) {
    std::string row = RowName(matrix.last.classes, matrix.last.name);
    for (std::size_t c = 0; c < best.size(); ++c) {
      row += Element("td", matrix.last.value);
    }
    rows += Element("tr", row) + "\n";
  }
  const std::string table = Element("caption", matrix.caption) +
                            Element("thead", Element("tr", head)) + Element("tbody", rows);
  // It scrolls by itself where it is too wide, also with the keyboard.
  return Element("div", Element("table", table, "class=\"matrix\""),
                 "class=\"scroll\" tabindex=\"0\"") +
         "\n";
}

}  // namespace cairn::sim

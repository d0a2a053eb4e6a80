#include "services/cairn-sim/html_savings.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "services/cairn-sim/html_chart.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Fixed;
using terminal::Grouped;
namespace {

constexpr std::size_t kColours = 4;  // Besides that of the learned placement.
constexpr std::size_t kDashes = 3;
constexpr int kTicks = 5;
/// Labels of the x axis that are closer than this share of it would run into each other.
constexpr double kLeastGap = 0.16;

double Saved(const Report& report) {
  return report.prefill_s > 0 ? 100 * report.saved_s / report.prefill_s : 0;
}

/// What infinite memory would save; unknown where the cost of a token depends on its position.
std::optional<double> Limit(std::span<const SweepCell> cells) {
  for (const SweepCell& cell : cells) {
    if (cell.result && cell.run.sim.cost.per_pair_s == 0 && cell.result->report.prompt_tokens > 0) {
      return 100 * static_cast<double>(cell.result->report.overlap_tokens) /
             static_cast<double>(cell.result->report.prompt_tokens);
    }
  }
  return {};
}

/// Places of the capacities on a logarithmic axis; without a bound is as far beyond the last as if
/// that were four times as much.
std::vector<double> CapacityPlaces(std::span<const SweepCell> cells, std::size_t columns) {
  constexpr auto kUnlimited = std::numeric_limits<std::uint64_t>::max();
  double largest = 1;
  for (const SweepCell& cell : cells) {
    if (cell.run.sim.capacity_bytes != kUnlimited) {
      largest = std::max(largest, static_cast<double>(cell.run.sim.capacity_bytes));
    }
  }
  std::vector<double> places;
  for (std::size_t i = 0; i < cells.size(); i += columns) {
    const std::uint64_t bytes = cells[i].run.sim.capacity_bytes;
    places.push_back(std::log(bytes == kUnlimited ? 4 * largest : static_cast<double>(bytes)));
  }
  const auto [least, most] = std::minmax_element(places.begin(), places.end());
  const double from = *least;
  const double width = *most - from;
  for (double& place : places) {
    place = width > 0 ? (place - from) / width : 0.5;
  }
  return places;
}

std::vector<Tick> CapacityTicks(std::span<const SweepCell> cells, std::size_t columns,
                                const std::vector<double>& places) {
  std::vector<Tick> ticks;
  for (std::size_t c = 0; c < places.size(); ++c) {
    ticks.push_back({places[c], SizeText(cells[c * columns].run.sim.capacity_bytes)});
  }
  std::sort(ticks.begin(), ticks.end(), [](const Tick& a, const Tick& b) { return a.at < b.at; });
  double last = -1;
  for (Tick& tick : ticks) {
    if (tick.at - last < kLeastGap) {
      tick.label.clear();
    } else {
      last = tick.at;
    }
  }
  return ticks;
}

/// A row per strategy, a column per capacity.
class Matrix {
 public:
  Matrix(std::span<const SweepCell> cells, const std::vector<std::string>& classes)
      : cells_(cells), classes_(classes) {}

  /// `value` of a run, with `digits`. The greatest of a capacity is bold if `praise`, the oracle's
  /// aside, which nobody can have.
  [[nodiscard]] std::string Html(const std::string& caption, int digits, bool praise,
                                 const std::function<double(const Report&)>& value,
                                 const std::string& last_rows) const {
    std::string head = Element("th", "strategy", "scope=\"col\"");
    for (std::size_t i = 0; i < cells_.size(); i += classes_.size()) {
      head += Element("th", SizeText(cells_[i].run.sim.capacity_bytes), "scope=\"col\"");
    }
    std::string rows;
    for (std::size_t s = 0; s < classes_.size(); ++s) {
      const std::string sample = Sample(classes_[s]);
      std::string row =
          Element("th", sample + HtmlEscape(PairName(cells_[s].run.sim)), "scope=\"row\"");
      for (std::size_t i = 0; i < cells_.size(); i += classes_.size()) {
        row += Cell(i, s, digits, praise, value);
      }
      rows += Element("tr", row) + "\n";
    }
    return Element("div",
                   Element("table",
                           Element("caption", caption) + Element("thead", Element("tr", head)) +
                               Element("tbody", rows + last_rows),
                           "class=\"matrix\""),
                   "class=\"scroll\" tabindex=\"0\"") +
           "\n";
  }
  static std::string Sample(const std::string& classes) {
    return "<svg class=\"sample\" viewBox=\"0 0 22 10\" aria-hidden=\"true\"><path class=\"line " +
           classes + "\" d=\"M0 5H22\"></path></svg>";
  }

 private:
  [[nodiscard]] std::string Cell(std::size_t first, std::size_t s, int digits, bool praise,
                                 const std::function<double(const Report&)>& value) const {
    const SweepCell& cell = cells_[first + s];
    if (!cell.result) {
      return Element("td", "failed",
                     "class=\"failed\" title=\"" + HtmlEscape(cell.result.error().message) + "\"");
    }
    double best = 0;
    for (std::size_t k = first; k < first + classes_.size(); ++k) {
      if (cells_[k].result && cells_[k].run.sim.strategy != "oracle") {
        best = std::max(best, value(cells_[k].result->report));
      }
    }
    const double own = value(cell.result->report);
    const bool bold = praise && best > 0 && own >= best && cell.run.sim.strategy != "oracle";
    return Element("td", Fixed(own, digits), bold ? "class=\"best\"" : "");
  }

  std::span<const SweepCell> cells_;
  const std::vector<std::string>& classes_;
};

}  // namespace

std::vector<std::string> SeriesClasses(std::span<const SweepCell> columns) {
  std::vector<std::string> classes;
  std::size_t others = 0;
  bool learned = false;
  for (const SweepCell& cell : columns) {
    const Options& options = cell.run.sim;
    if (options.strategy == "oracle") {
      classes.emplace_back("c0 d1");
    } else if (options.strategy == "trie" && !learned) {
      learned = true;
      classes.emplace_back("c1 strong");
    } else {
      classes.push_back("c" + std::to_string(2 + others % kColours) + " d" +
                        std::to_string(others / kColours % kDashes));
      ++others;
    }
  }
  return classes;
}

std::string SavingsPlot(const std::string& trace, std::span<const SweepCell> cells,
                        const std::vector<std::string>& classes) {
  const std::vector<double> places = CapacityPlaces(cells, classes.size());
  const std::optional<double> limit = Limit(cells);
  double most = limit.value_or(0);
  for (const SweepCell& cell : cells) {
    most = cell.result ? std::max(most, Saved(cell.result->report)) : most;
  }
  Panel panel;
  panel.title = "Saved prefill, %";
  panel.y = MakeAxis(most, kTicks, AxisEnd::kAtTick);
  Marks marks;
  std::string last_rows;
  if (limit) {
    marks.Line({{.x = 0, .y = panel.y.At(*limit)}, {.x = 1, .y = panel.y.At(*limit)}}, "limit");
    std::string row =
        Element("th", Matrix::Sample("limit") + "all that was seen before", "scope=\"row\"");
    for (std::size_t c = 0; c < places.size(); ++c) {
      row += Element("td", Fixed(*limit, 1));
    }
    last_rows = Element("tr", row);
  }
  // The learned placement, which is what one looks for, is drawn last and so above the others.
  std::vector<std::size_t> order(classes.size());
  for (std::size_t s = 0; s < order.size(); ++s) {
    order[s] = s;
  }
  std::stable_partition(order.begin(), order.end(), [&classes](std::size_t s) {
    return classes[s].find("strong") == std::string::npos;
  });
  for (const std::size_t s : order) {
    std::vector<Place> line;
    std::string dots_title = PairName(cells[s].run.sim);
    std::vector<std::pair<Place, std::string>> dots;
    for (std::size_t c = 0; c < places.size(); ++c) {
      const SweepCell& cell = cells[c * classes.size() + s];
      if (cell.result) {
        const double saved = Saved(cell.result->report);
        const Place place{.x = places[c], .y = panel.y.At(saved)};
        line.push_back(place);
        dots.emplace_back(place, dots_title + ", " + SizeText(cell.run.sim.capacity_bytes) + ": " +
                                     Fixed(saved, 1) + " %");
      }
    }
    std::sort(line.begin(), line.end(), [](const Place& a, const Place& b) { return a.x < b.x; });
    if (line.size() > 1) {
      marks.Line(line, classes[s]);
    }
    for (const auto& [place, said] : dots) {
      marks.Dot(place, classes[s], said);
    }
  }
  panel.marks = marks.svg();
  Chart chart;
  chart.title = HtmlEscape(trace);
  chart.caption = "Blocks of " + Grouped(cells.front().run.sim.block_tokens) + " tokens";
  chart.described =
      "Share of prefill saved against the capacity of the cache, a line per strategy; "
      "the table below has the same figures.";
  chart.x = CapacityTicks(cells, classes.size(), places);
  chart.x_title = "Capacity of the cache";
  chart.panels = {std::move(panel)};
  return ChartHtml(chart) +
         Matrix(cells, classes).Html("Saved prefill, %", 1, true, Saved, last_rows);
}

std::string WrittenTable(std::span<const SweepCell> cells,
                         const std::vector<std::string>& classes) {
  constexpr double kGigabyte = 1e9;
  return Matrix(cells, classes)
      .Html(
          "Written, GB", 0, false,
          [](const Report& r) { return static_cast<double>(r.bytes_written) / kGigabyte; }, "");
}

}  // namespace cairn::sim

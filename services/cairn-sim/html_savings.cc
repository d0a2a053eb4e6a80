#include "services/cairn-sim/html_savings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "services/cairn-sim/html_chart.h"
#include "services/cairn-sim/html_matrix.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Fixed;
using terminal::Grouped;
namespace {

constexpr std::string_view kLearnedClasses = "c1 strong";
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
  ticks.reserve(places.size());
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

/// The line of one strategy.
void Draw(std::span<const SweepCell> cells, std::size_t strategy,
          const std::vector<std::string>& classes, const std::vector<double>& places, const Axis& y,
          Marks& marks) {
  std::vector<Place> line;
  for (std::size_t c = 0; c < places.size(); ++c) {
    if (const SweepCell& cell = cells[c * classes.size() + strategy]; cell.result) {
      line.push_back({.x = places[c], .y = y.At(Saved(cell.result->report))});
    }
  }
  std::sort(line.begin(), line.end(), [](const Place& a, const Place& b) { return a.x < b.x; });
  if (line.size() > 1) {
    marks.Line(line, classes[strategy]);
  }
  for (std::size_t c = 0; c < places.size(); ++c) {
    if (const SweepCell& cell = cells[c * classes.size() + strategy]; cell.result) {
      const double saved = Saved(cell.result->report);
      marks.Dot({.x = places[c], .y = y.At(saved)}, classes[strategy],
                PairName(cell.run.sim) + ", " + SizeText(cell.run.sim.capacity_bytes) + ": " +
                    Fixed(saved, 1) + " %");
    }
  }
}

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
      classes.emplace_back(kLearnedClasses);
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
  Matrix matrix{.caption = panel.title, .digits = 1, .bold_best = true, .value = Saved, .last = {}};
  if (limit) {
    marks.Line({{.x = 0, .y = panel.y.At(*limit)}, {.x = 1, .y = panel.y.At(*limit)}}, "limit");
    matrix.last = {"limit", "all that was seen before", Fixed(*limit, 1)};
  }
  // The learned placement, which is what one looks for, is drawn last and so above the others.
  for (const bool learned : {false, true}) {
    for (std::size_t s = 0; s < classes.size(); ++s) {
      if ((classes[s] == kLearnedClasses) == learned) {
        Draw(cells, s, classes, places, panel.y, marks);
      }
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
  return ChartHtml(chart) + MatrixHtml(matrix, cells, classes);
}

}  // namespace cairn::sim

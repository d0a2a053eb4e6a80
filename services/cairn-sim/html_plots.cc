#include "services/cairn-sim/html_plots.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "services/cairn-sim/html_chart.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Grouped;
using terminal::Percent;
namespace {

using Bin = PositionBins::Bin;
using CountOf = std::function<std::uint64_t(const Bin&)>;

// Prices are tiny per byte and second; of these one can picture what they cost.
constexpr double kGigabyte = 1e9;
constexpr double kSecondsPerHour = 3600;

constexpr int kTicks = 4;
constexpr int kWideTicks = 7;
/// Where the largest bin is above so many times the median, most bins would be too low to be seen.
constexpr std::uint64_t kSkewed = 10;

std::string Nothing(const std::string& title, const std::string& why) {
  return Element("figure", Element("h3", title) + Element("p", why, "class=\"nothing\"")) + "\n";
}

Axis CountAxis(const PositionBins& positions, const CountOf& of) {
  std::vector<std::uint64_t> counts = {0};
  for (const Bin& bin : positions.bins()) {
    if (const std::uint64_t count = of(bin); count != 0) {
      counts.push_back(count);
    }
  }
  std::sort(counts.begin(), counts.end());
  const std::uint64_t most = counts.back();
  if (most > kSkewed * counts[counts.size() / 2]) {
    return MakeLogAxis(static_cast<double>(most));
  }
  // Below that there were ticks at fractions of a count.
  return MakeAxis(static_cast<double>(std::max<std::uint64_t>(most, kTicks)), kTicks,
                  AxisEnd::kAtTick);
}

/// One above the other: `all`, and in front of it `part`, which is a part of that.
Panel CountsPanel(const std::string& title, const PositionBins& positions, const CountOf& all,
                  const CountOf& part, const std::string& colour) {
  const auto count = static_cast<double>(positions.bins().size());
  Panel panel;
  panel.y = CountAxis(positions, all);
  panel.title = panel.y.counted ? title + ", logarithmic" : title;
  const auto bars = [&](const CountOf& of) {
    std::vector<std::pair<Place, double>> list;
    for (std::size_t i = 0; i < positions.bins().size(); ++i) {
      if (const std::uint64_t value = of(positions.bins()[i]); value != 0) {
        const auto at = static_cast<double>(i);
        list.push_back(
            {{.x = at / count, .y = panel.y.At(static_cast<double>(value))}, (at + 1) / count});
      }
    }
    return list;
  };
  Marks marks;
  marks.Bars(bars(all), colour + " all");
  marks.Bars(bars(part), colour + " part");
  panel.marks = marks.svg();
  return panel;
}

/// What a pointer over a bin is told.
std::string Columns(const PositionBins& positions,
                    const std::function<std::string(const Bin&)>& text) {
  Marks marks;
  const auto count = static_cast<double>(positions.bins().size());
  for (std::size_t i = 0; i < positions.bins().size(); ++i) {
    const std::string said = text(positions.bins()[i]);
    if (said.empty()) {
      continue;
    }
    const std::uint64_t from = i * positions.bin_tokens() + 1;
    const std::uint64_t to = (i + 1) * positions.bin_tokens();
    const auto at = static_cast<double>(i);
    marks.Column(at / count, (at + 1) / count,
                 "Tokens " + Grouped(from) + " to " + Grouped(to) + ": " + said);
  }
  return marks.svg();
}

std::string ShareText(std::uint64_t part, std::uint64_t whole) {
  return Percent(static_cast<double>(part), static_cast<double>(whole));
}

}  // namespace

std::string PositionsPlot(const RunResult& result) {
  const std::string title = "Checkpoints over positions";
  const PositionBins& positions = result.report.positions;
  if (positions.bins().empty()) {
    return Nothing(title,
                   "No request had anything in common with an earlier one, and no "
                   "checkpoint was written.");
  }
  Bin sum;
  for (const Bin& bin : positions.bins()) {
    sum.overlaps += bin.overlaps;
    sum.served += bin.served;
    sum.written += bin.written;
    sum.kept += bin.kept;
  }
  Chart chart;
  chart.title = title;
  chart.caption = "Above, where " + Grouped(sum.written) + " checkpoints were written, " +
                  Grouped(sum.kept) + " of which are there at the end. Beneath, where " +
                  Grouped(sum.overlaps) + " overlaps with earlier requests end; " +
                  ShareText(sum.served, sum.overlaps) +
                  " of them resumed right there, with nothing to compute again.";
  chart.described =
      "Two histograms over positions in the prompt: checkpoints, and ends of overlaps.";
  Panel checkpoints = CountsPanel(
      "Checkpoints", positions, [](const Bin& bin) { return std::max(bin.written, bin.kept); },
      [](const Bin& bin) { return bin.kept; }, "c1");
  checkpoints.marks += Columns(positions, [](const Bin& bin) {
    return bin.written + bin.kept == 0 ? std::string()
                                       : Grouped(bin.written) + " checkpoints written, " +
                                             Grouped(bin.kept) + " there at the end";
  });
  Panel overlaps = CountsPanel(
      "Overlaps that end there", positions, [](const Bin& bin) { return bin.overlaps; },
      [](const Bin& bin) { return bin.served; }, "c2");
  overlaps.marks += Columns(positions, [](const Bin& bin) {
    return bin.overlaps == 0 ? std::string()
                             : Grouped(bin.overlaps) + " overlaps end, " + Grouped(bin.served) +
                                   " resumed right there";
  });
  const Axis tokens =
      MakeAxis(static_cast<double>(positions.bins().size() * positions.bin_tokens()), kWideTicks,
               AxisEnd::kAtMost);
  chart.panels = {std::move(checkpoints), std::move(overlaps)};
  chart.x = tokens.ticks;
  chart.x_title =
      "Position in the prompt, tokens (bins of " + Grouped(positions.bin_tokens()) + ")";
  chart.legend = Legend({{"c1 all", "written"},
                         {"c1 part", "there at the end"},
                         {"c2 all", "overlaps"},
                         {"c2 part", "resumed right there"}});
  return ChartHtml(chart);
}

std::string PricePlot(const RunResult& result) {
  const std::string title = "Price over time";
  const auto& prices = result.report.prices;
  if (EvictionName(result.run.sim) != "value") {
    return Nothing(title, "Only the eviction <code>value</code> has a price.");
  }
  double most = 0;
  for (const Report::PricePoint& point : prices) {
    most = std::max(most, point.price);
  }
  if (most <= 0) {
    return Nothing(title, "The cache was never full, so memory had no price.");
  }
  const double scale = kGigabyte * kSecondsPerHour;
  Panel panel;
  panel.title = "Prefill seconds saved per GB and hour";
  panel.y = MakeAxis(most * scale, kTicks, AxisEnd::kAtTick);
  std::string unit;
  const Axis time =
      MakeTimeAxis(std::max(result.report.span_s, prices.back().at_s), kWideTicks, unit);
  // A price holds until the next.
  std::vector<Place> steps;
  for (const Report::PricePoint& point : prices) {
    const Place place{.x = time.At(point.at_s), .y = panel.y.At(point.price * scale)};
    if (!steps.empty()) {
      steps.push_back({.x = place.x, .y = steps.back().y});
    }
    steps.push_back(place);
  }
  steps.push_back({.x = 1, .y = steps.back().y});
  Marks marks;
  marks.Line(steps, "c1");
  panel.marks = marks.svg();
  Chart chart;
  chart.title = title;
  chart.caption =
      "What the last byte of memory was worth: the value of what lately had to go. "
      "0 while there was room.";
  chart.described = "The price of memory over the time of the trace.";
  chart.panels = {std::move(panel)};
  chart.x = time.ticks;
  chart.x_title = "Time of the trace, " + unit;
  return ChartHtml(chart);
}

}  // namespace cairn::sim

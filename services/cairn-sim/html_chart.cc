#include "services/cairn-sim/html_chart.h"

#include <algorithm>

#include "services/cairn-sim/html_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Fixed;
namespace {

/// Plots are drawn in a square of this many units and stretched to the room there is.
constexpr double kUnits = 1000;
/// About a pixel and a half.
constexpr double kLeastBar = 0.01;

/// Without digits that nobody sees.
std::string Units(double share) {
  std::string text = Fixed(kUnits * std::clamp(share, 0.0, 1.0), 1);
  if (text.ends_with(".0")) {
    text.resize(text.size() - 2);
  }
  return text;
}
std::string X(double share) { return Units(share); }
std::string Y(double share) { return Units(1 - std::clamp(share, 0.0, 1.0)); }

std::string Path(std::string_view d, std::string_view classes, std::string_view content = "") {
  return Element("path", content,
                 "class=\"" + std::string(classes) + "\" d=\"" + std::string(d) + "\"");
}

std::string Title(std::string_view title) { return Element("title", HtmlEscape(title)); }

std::string Percent(double share) { return Fixed(100 * share, 2) + "%"; }

std::string PlotSvg(const Chart& chart, const Panel& panel) {
  std::string grid;
  for (const Tick& tick : panel.y.ticks) {
    grid += "M0 " + Y(tick.at) + "H1000";
  }
  for (const Tick& tick : chart.x) {
    grid += "M" + X(tick.at) + " 1000V0";
  }
  return Element(
      "svg", Path(grid, "grid") + panel.marks + Path("M0 0V1000H1000", "axis"),
      "class=\"plot\" viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"" +
          HtmlEscape(chart.described) + "\"");
}

std::string PanelHtml(const Chart& chart, const Panel& panel) {
  std::string labels;
  for (const Tick& tick : panel.y.ticks) {
    labels += Element("span", tick.label, "style=\"bottom:" + Percent(tick.at) + "\"");
  }
  std::string title = panel.title;
  if (!panel.y.factor.empty()) {
    title += ", " + panel.y.factor;
  }
  return Element("div", title, "class=\"y-title\"") +
         Element("div", Element("div", labels, "class=\"y\"") + PlotSvg(chart, panel),
                 "class=\"panel\"");
}

}  // namespace

void Marks::Line(const std::vector<Place>& places, std::string_view classes) {
  std::string d;
  for (const Place& place : places) {
    d += (d.empty() ? "M" : "L") + X(place.x) + " " + Y(place.y);
  }
  svg_ += Path(d, "line " + std::string(classes));
}

void Marks::Dot(const Place& place, std::string_view classes, std::string_view title) {
  // A line of no length with round ends: a circle, which the stretching would make an ellipse.
  svg_ +=
      Path("M" + X(place.x) + " " + Y(place.y) + "h0", "dot " + std::string(classes), Title(title));
}

void Marks::Bars(const std::vector<std::pair<Place, double>>& left_right,
                 std::string_view classes) {
  std::string d;
  for (const auto& [left, right] : left_right) {
    d += "M" + X(left.x) + " 1000V" + Y(std::max(left.y, kLeastBar)) + "H" + X(right) + "V1000Z";
  }
  if (!d.empty()) {
    svg_ += Path(d, "bar " + std::string(classes));
  }
}

void Marks::Column(double left, double right, std::string_view title) {
  svg_ += Path("M" + X(left) + " 0V1000H" + X(right) + "V0Z", "column", Title(title));
}

std::string ChartHtml(const Chart& chart) {
  std::string html = Element("h3", chart.title);
  if (!chart.caption.empty()) {
    html += Element("p", chart.caption);
  }
  for (const Panel& panel : chart.panels) {
    html += PanelHtml(chart, panel);
  }
  std::string labels;
  for (const Tick& tick : chart.x) {
    labels += Element("span", tick.label, "style=\"left:" + Percent(tick.at) + "\"");
  }
  html += Element("div", labels, "class=\"x\"");
  html += Element("div", chart.x_title, "class=\"x-title\"");
  return Element("figure", html + chart.legend) + "\n";
}

std::string Sample(std::string_view kind, std::string_view classes) {
  const std::string_view d = kind == "bar" ? "M0 0H22V10H0Z" : "M0 5H22";
  return Element("svg", Path(d, std::string(kind) + " " + std::string(classes)),
                 "class=\"sample\" viewBox=\"0 0 22 10\" aria-hidden=\"true\"");
}

std::string Legend(const std::vector<std::pair<std::string, std::string>>& bars) {
  std::string items;
  for (const auto& [classes, name] : bars) {
    items += Element("li", Sample("bar", classes) + HtmlEscape(name));
  }
  return Element("ul", items, "class=\"legend\"");
}

}  // namespace cairn::sim

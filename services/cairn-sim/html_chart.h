#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/cairn-sim/html_axis.h"

namespace cairn::sim {

/// A place in a plot: shares of its width from the left and of its height from below.
struct Place {
  double x = 0;
  double y = 0;
};

/// What is drawn in a plot. Classes are those of html_style.h, titles are what a pointer that rests
/// there is told: text, not markup.
class Marks {
 public:
  void Line(const std::vector<Place>& places, std::string_view classes);
  void Dot(const Place& place, std::string_view classes, std::string_view title);
  /// From `left.x` to `right` and up to `left.y`, one shape for all; never too low to be seen.
  void Bars(const std::vector<std::pair<Place, double>>& left_right, std::string_view classes);
  /// Nothing to see: a column of the plot's height that has a title.
  void Column(double left, double right, std::string_view title);
  [[nodiscard]] const std::string& svg() const { return svg_; }

 private:
  std::string svg_;
};

/// A plot with its y axis.
struct Panel {
  std::string title;  ///< Of the y axis, with its unit; markup.
  Axis y;
  std::string marks;
};

/// Panels above each other on one x axis. Sizes are left to the style: plots stretch, words do not,
/// so that it can be read on any screen.
struct Chart {
  std::string title;      ///< Markup.
  std::string caption;    ///< Beneath it; markup, may be empty.
  std::string described;  ///< What is to be seen, for those who cannot; text.
  std::vector<Panel> panels;
  std::vector<Tick> x;
  std::string x_title;
  std::string legend;  ///< Markup, may be empty.
};

std::string ChartHtml(const Chart& chart);

/// A small piece of a mark, for legends. `kind` is "line" or "bar".
std::string Sample(std::string_view kind, std::string_view classes);
/// Of bars: their classes and names.
std::string Legend(const std::vector<std::pair<std::string, std::string>>& bars);

}  // namespace cairn::sim

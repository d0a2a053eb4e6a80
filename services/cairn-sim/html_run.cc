#include "services/cairn-sim/html_run.h"

#include "services/cairn-sim/html_plots.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"

namespace cairn::sim {

std::string RunHtml(const RunResult& result, const HtmlTarget& target) {
  const Options& options = result.run.sim;
  std::string rows;
  for (const auto& row : RunRows(result)) {
    std::string cells = Element("th", HtmlEscape(row[0]), "scope=\"row\"");
    cells += Element("td", HtmlEscape(row[1]));
    cells += Element("td", row.size() > 2 ? HtmlEscape(row[2]) : "");
    rows += Element("tr", cells) + "\n";
  }
  std::string body = Element("div", PositionsPlot(result), "class=\"wide\"") + "\n";
  body += Element("div", PricePlot(result), "class=\"wide\"") + "\n";
  body += Element("h2", "Figures") + "\n";
  body += Element("div", Element("table", Element("tbody", rows), "class=\"figures\""),
                  "class=\"scroll\"") +
          "\n";
  const std::string title = FileName(result.run.options.trace.Name()) + ": " + PairName(options) +
                            ", " + SizeText(options.capacity_bytes);
  return HtmlPage(title, body, target);
}

}  // namespace cairn::sim

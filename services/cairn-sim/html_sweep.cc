#include "services/cairn-sim/html_sweep.h"

#include <set>
#include <span>

#include "services/cairn-sim/html_matrix.h"
#include "services/cairn-sim/html_plots.h"
#include "services/cairn-sim/html_savings.h"
#include "services/cairn-sim/html_text.h"
#include "services/cairn-sim/run_text.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Grouped;
using terminal::Shortest;
namespace {

/// Sections that are not folded away: with more of them nobody finds their way.
constexpr std::size_t kOpenSections = 4;

/// Whether the traces can be told apart without their folders.
bool FileNamesDiffer(const std::vector<SweepCell>& cells) {
  std::set<std::string> paths;
  std::set<std::string> names;
  for (const SweepCell& cell : cells) {
    paths.insert(cell.run.options.trace.Name());
    names.insert(FileName(cell.run.options.trace.Name()));
  }
  return names.size() == paths.size();
}

/// What holds for all runs; the command says the rest.
std::string Conditions(const Run& run) {
  const Options& o = run.sim;
  std::string text = "Model " + HtmlEscape(run.model_id) + ": " + SizeText(o.checkpoint_bytes) +
                     " a checkpoint, " + SizeText(o.kv_bytes_per_token) +
                     " of KV a token, in one pool. A token's prefill takes " +
                     Shortest(o.cost.per_token_s * 1e6) + " us";
  if (o.cost.per_pair_s > 0) {
    text += " and " + Shortest(o.cost.per_pair_s * 1e12) + " ps for each token before it";
  }
  text += o.context_tokens == 0
              ? std::string(". Prompts of any length.")
              : ". Prompts above " + Grouped(o.context_tokens) + " tokens are refused.";
  if (run.options.limit != 0) {
    text += " The first " + Grouped(run.options.limit) + " requests of each trace.";
  }
  return Element("p", text);
}

std::string Details(const std::string& summary, const std::string& content, bool open) {
  return Element("details", Element("summary", summary) + content, open ? "open" : "") + "\n";
}

Matrix Written() {
  return {.caption = "Written, GB",
          .digits = 0,
          .bold_best = false,
          .value = [](const Report& r) { return static_cast<double>(r.bytes_written) / 1e9; },
          .last = {}};
}

std::string Failures(const std::vector<SweepCell>& cells) {
  std::string items;
  for (const SweepCell& cell : cells) {
    if (!cell.result) {
      items +=
          Element("li", HtmlEscape(cell.run.options.trace.Name() + ", " + PairName(cell.run.sim) +
                                   ", " + SizeText(cell.run.sim.capacity_bytes) + ": " +
                                   cell.result.error().message));
    }
  }
  return items.empty() ? "" : Element("h2", "Runs that failed") + Element("ul", items) + "\n";
}

}  // namespace

std::string SweepHtml(const std::vector<SweepCell>& cells, const SweepShape& shape,
                      const HtmlTarget& target) {
  const std::span<const SweepCell> all(cells);
  const std::size_t section = shape.strategies * shape.capacities;
  const std::vector<std::string> classes = SeriesClasses(all.first(shape.strategies));
  const bool short_names = FileNamesDiffer(cells);
  std::string cards;
  for (std::size_t at = 0; at < all.size(); at += section) {
    const std::span<const SweepCell> own = all.subspan(at, section);
    const std::string name = own.front().run.options.trace.Name();
    std::string card = SavingsPlot(short_names ? FileName(name) : name, own, classes);
    card += Details("What was written", MatrixHtml(Written(), own, classes), false);
    for (std::size_t i = 0; i < own.size(); i += shape.strategies) {
      if (own[i].result) {
        card += Details(HtmlEscape(PairName(own[i].run.sim)) + " at " +
                            SizeText(own[i].run.sim.capacity_bytes) + ": positions and price",
                        PositionsPlot(*own[i].result) + PricePlot(*own[i].result),
                        all.size() / shape.strategies <= kOpenSections);
      }
    }
    cards += Element("section", card, "class=\"card\"") + "\n";
  }
  std::string body = Conditions(cells.front().run);
  body += Element("h2", "Saved prefill against capacity") + "\n";
  body += Element("p",
                  "The best of each capacity is bold, the oracle aside: it knows the future. "
                  "With infinite memory all that was seen before is served: the dotted line.") +
          "\n";
  body += Element("div", cards, "class=\"cards\"") + "\n";
  body += Failures(cells);
  return HtmlPage("Caches side by side", body, target);
}

}  // namespace cairn::sim

#include "services/cairn-sim/solve_text.h"

#include <algorithm>
#include <cstddef>

#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Grouped;
using terminal::Shortest;
using terminal::Table;
namespace {

constexpr std::size_t kShown = 16;

template <class T>
std::string Shown(const std::vector<T>& values) {
  std::string text;
  for (std::size_t i = 0; i < std::min(values.size(), kShown); ++i) {
    text += (i == 0 ? "" : " ") + Shortest(static_cast<double>(values[i]));
  }
  return text + (values.size() > kShown ? " ..." : "");
}

std::vector<std::string> Row(const std::string& title, const PricedSolution& priced) {
  std::vector<std::string> row = {title,
                                  Shortest(priced.price),
                                  Shortest(priced.objective),
                                  Shortest(priced.cost),
                                  Grouped(priced.bytes),
                                  Grouped(priced.chosen.size()),
                                  Shown(priced.chosen)};
  if (priced.kept_kv) {
    row.push_back(Shown(*priced.kept_kv));
  }
  return row;
}

}  // namespace

std::string SolveText(const std::vector<Solution>& solutions) {
  std::string text;
  for (const Solution& solution : solutions) {
    text += (text.empty() ? "" : "\n") + solution.name + "\n";
    std::vector<std::string> header = {"",      "price",       "objective", "cost",
                                       "bytes", "checkpoints", "chosen"};
    const auto joint = [](const PricedSolution& priced) { return priced.kept_kv.has_value(); };
    if (std::any_of(solution.priced.begin(), solution.priced.end(), joint) ||
        (solution.budgeted && joint(*solution.budgeted))) {
      header.emplace_back("KV kept");
    }
    Table table(header);
    for (const PricedSolution& priced : solution.priced) {
      table.Add(Row("at a price", priced));
    }
    if (solution.budgeted) {
      table.Add(Row("within " + Grouped(solution.budget), *solution.budgeted));
    }
    if (!solution.priced.empty() || solution.budgeted) {
      text += table.Text();
    }
    if (solution.cost_by_count) {
      text += "cost by number of checkpoints: " + Shown(*solution.cost_by_count) + "\n";
    }
    for (const std::string& field : solution.unknown_fields) {
      text += "field '" + field + "' is not known and was left out\n";
    }
  }
  return text;
}

}  // namespace cairn::sim

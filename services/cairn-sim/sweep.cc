#include "services/cairn-sim/sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "services/cairn-sim/html_sweep.h"
#include "services/cairn-sim/json.h"
#include "services/cairn-sim/report.h"
#include "services/cairn-sim/run_text.h"
#include "services/cairn-sim/strategies.h"
#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Grouped;
using terminal::Percent;
using terminal::Table;
namespace {

constexpr std::chrono::milliseconds kLookEvery{20};

struct Pair {
  std::string strategy;
  std::string eviction;
};

std::vector<Pair> Pairs(const SweepOptions& options) {
  std::vector<Pair> pairs;
  for (const std::string& strategy : options.strategies) {
    if (const auto at = strategy.find('@'); at != std::string::npos) {
      pairs.push_back({strategy.substr(0, at), strategy.substr(at + 1)});
    } else if (strategy == "oracle" || options.evictions.empty()) {
      pairs.push_back({strategy, OwnEviction(strategy)});
    } else {
      for (const std::string& eviction : options.evictions) {
        pairs.push_back({strategy, eviction});
      }
    }
  }
  return pairs;
}

/// How large the cache is, as it was asked for.
struct Room {
  std::string capacity;
  std::uint64_t checkpoints = 0;
};

std::vector<Room> Rooms(const SweepOptions& options) {
  std::vector<Room> rooms;
  rooms.reserve(options.capacities.size() + options.capacity_checkpoints.size());
  for (const std::string& capacity : options.capacities) {
    rooms.push_back({.capacity = capacity});
  }
  for (const std::uint64_t checkpoints : options.capacity_checkpoints) {
    rooms.push_back({.capacity = "", .checkpoints = checkpoints});
  }
  return rooms;
}

std::string RoomText(const Run& run) {
  const std::uint64_t checkpoints = run.options.capacity_checkpoints;
  return checkpoints == 0 ? SizeText(run.sim.capacity_bytes) : Grouped(checkpoints) + " states";
}

/// Runs one after another, on as many threads as call Work. No exception leaves a thread.
class Worker {
 public:
  Worker(const std::vector<Run>& runs, std::vector<SweepCell>& cells)
      : runs_(runs), cells_(cells), shares_(runs.size()) {}

  void Work() {
    for (std::size_t i = next_++; i < runs_.size(); i = next_++) {
      try {
        cells_[i].result = Execute(runs_[i], [this, i](double share) { shares_[i] = share; });
      } catch (const std::exception& error) {
        cells_[i].result = Fail(ErrorCode::kInternal, error.what());
      }
      shares_[i] = 1;
      ++done_;
    }
  }
  [[nodiscard]] std::size_t Done() const { return done_; }
  [[nodiscard]] double Share() const {
    double sum = 0;
    for (const std::atomic<double>& share : shares_) {
      sum += share;
    }
    return sum / static_cast<double>(shares_.size());
  }

 private:
  const std::vector<Run>& runs_;
  std::vector<SweepCell>& cells_;  // Each is written by one thread, and read after all ended.
  std::vector<std::atomic<double>> shares_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

std::vector<SweepCell> ExecuteAll(const std::vector<Run>& runs, unsigned jobs,
                                  terminal::Progress& bar) {
  std::vector<SweepCell> cells;
  cells.reserve(runs.size());
  for (const Run& run : runs) {
    cells.push_back({run, Fail(ErrorCode::kInternal, "not run")});
  }
  Worker worker(runs, cells);
  const std::size_t cores = std::max(std::thread::hardware_concurrency(), 1U);
  const std::size_t count = std::min(jobs == 0 ? cores : std::size_t{jobs}, runs.size());
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&worker] { worker.Work(); });
  }
  while (worker.Done() < runs.size()) {
    std::this_thread::sleep_for(kLookEvery);
    bar.Update(worker.Share(),
               std::to_string(worker.Done()) + " of " + std::to_string(runs.size()) + " runs");
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  bar.Clear();
  return cells;
}

/// `columns` cells in a row belong to one line of the table.
std::string SweepText(const std::vector<SweepCell>& cells, std::size_t columns) {
  std::vector<std::string> header = {"trace", "block", "capacity", "seen before"};
  for (std::size_t i = 0; i < columns; ++i) {
    header.push_back(PairName(cells[i].run.sim));
  }
  Table table(header);
  for (std::size_t i = 0; i < cells.size(); i += columns) {
    const Run& run = cells[i].run;
    std::vector<std::string> row = {run.options.trace.Name(), std::to_string(run.sim.block_tokens),
                                    RoomText(run), "-"};
    for (std::size_t k = i; k < i + columns; ++k) {
      const auto& result = cells[k].result;
      if (!result) {
        row.emplace_back("failed");
        continue;
      }
      const auto prompt = static_cast<double>(result->report.prompt_tokens);
      row[3] = Percent(static_cast<double>(result->report.overlap_tokens), prompt);
      row.push_back(Percent(static_cast<double>(result->report.served_tokens), prompt));
    }
    table.Add(std::move(row));
  }
  return "Share of the prompt tokens that was served\n" + table.Text();
}

}  // namespace

Result<std::vector<Run>> Combinations(const SweepOptions& options) {
  std::vector<Run> runs;
  for (const std::string& trace : options.traces) {
    for (const std::uint32_t block_tokens : options.block_tokens) {
      for (const Room& room : Rooms(options)) {
        for (const Pair& pair : Pairs(options)) {
          RunOptions one = options.base;
          one.trace.path = trace;
          one.sim.block_tokens = block_tokens;
          one.capacity = room.capacity;
          one.capacity_checkpoints = room.checkpoints;
          one.sim.strategy = pair.strategy;
          one.sim.eviction = pair.eviction;
          auto run = Prepare(one);
          if (!run) {
            return Fail(run.error());
          }
          runs.push_back(*std::move(run));
        }
      }
    }
  }
  if (runs.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "there is nothing to run; --traces, --strategies, --block-tokens and --capacities "
                "(or --capacity-checkpoints) need one value each at least");
  }
  return runs;
}

int RunSweep(const SweepOptions& options, const HtmlTarget& html, bool json,
             terminal::Progress::Show show) {
  const auto runs = Combinations(options);
  if (!runs) {
    return WrongUsage(runs.error(), json);
  }
  auto report = HtmlFile::Open(html);
  if (!report) {
    return Failed(report.error(), json);
  }
  terminal::Progress bar(show);
  const std::vector<SweepCell> cells = ExecuteAll(*runs, options.jobs, bar);
  int code = kExitOk;
  for (const SweepCell& cell : cells) {
    if (!cell.result) {
      const std::string which = PairName(cell.run.sim) + ", block " +
                                std::to_string(cell.run.sim.block_tokens) + ", " +
                                RoomText(cell.run) + ": ";
      code = Failed({cell.result.error().code, which + cell.result.error().message}, json);
    }
  }
  const std::size_t columns = Pairs(options).size();
  const SweepShape shape{.strategies = columns, .capacities = options.capacities.size()};
  if (!html.path.empty()) {
    if (const Status written = report->Write(SweepHtml(cells, shape, html)); !written) {
      code = Failed(written.error(), json);
    }
  }
  const int printed = Print(json ? SweepJson(cells) : SweepText(cells, columns), json);
  return printed == kExitOk ? code : printed;
}

}  // namespace cairn::sim

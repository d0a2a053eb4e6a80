#include "services/cairn-sim/run_text.h"

#include <array>
#include <limits>
#include <utility>

#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Fixed;
using terminal::Grouped;
using terminal::Percent;
using terminal::Table;

std::string EvictionName(const Options& options) {
  return options.strategy == "oracle" ? "oracle" : options.eviction;
}

std::string PairName(const Options& options) {
  const std::string eviction = EvictionName(options);
  return options.strategy == eviction ? eviction : options.strategy + "@" + eviction;
}

std::string FileName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string SizeText(std::uint64_t bytes) {
  if (bytes == std::numeric_limits<std::uint64_t>::max()) {
    return "unlimited";
  }
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::string digits = Fixed(value, unit == 0 ? 0 : 2);
  if (digits.find('.') != std::string::npos) {
    digits.erase(digits.find_last_not_of('0') + 1);
    digits.erase(digits.find_last_not_of('.') + 1);
  }
  return digits + " " + kUnits[unit];
}

std::vector<std::vector<std::string>> RunRows(const RunResult& result) {
  const Report& r = result.report;
  const Options& o = result.run.sim;
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return Percent(static_cast<double>(part), static_cast<double>(whole));
  };
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"trace", result.run.options.trace.Name()});
  rows.push_back({"strategy", o.strategy});
  rows.push_back({"eviction", EvictionName(o)});
  rows.push_back({"model", result.run.model_id});
  rows.push_back({"state of a checkpoint", SizeText(o.checkpoint_bytes)});
  rows.push_back({"KV of a token", SizeText(o.kv_bytes_per_token)});
  rows.push_back({"block", Grouped(o.block_tokens) + " tokens"});
  rows.push_back({"capacity", SizeText(o.capacity_bytes)});
  rows.push_back({"requests", Grouped(r.requests)});
  rows.push_back({"refused, too long", Grouped(r.refused_requests)});
  rows.push_back({"hits", Grouped(r.hits), share(r.hits, r.requests)});
  rows.push_back({"prompt tokens", Grouped(r.prompt_tokens)});
  rows.push_back(
      {"seen before", Grouped(r.overlap_tokens), share(r.overlap_tokens, r.prompt_tokens)});
  rows.push_back({"served", Grouped(r.served_tokens), share(r.served_tokens, r.prompt_tokens)});
  rows.push_back({"gap", Grouped(r.gap_tokens), share(r.gap_tokens, r.prompt_tokens)});
  rows.push_back(
      {"prefill time saved", Fixed(r.saved_s, 1) + " s", Percent(r.saved_s, r.prefill_s)});
  for (std::size_t i = 0; i < r.tiers.size(); ++i) {
    const TierReport& tier = r.tiers[i];
    const std::string& name = o.tiers[i].name;
    rows.push_back({name + " hits", Grouped(tier.hits), share(tier.hits, r.requests)});
    rows.push_back({name + " loaded", SizeText(tier.loaded_bytes), Fixed(tier.load_s, 1) + " s"});
    rows.push_back({name + " written", SizeText(tier.written_bytes)});
  }
  for (std::size_t i = 0; i < result.daemons.size(); ++i) {
    const RunResult::DaemonShare& daemon = result.daemons[i];
    rows.push_back({"daemon " + std::to_string(i), SizeText(daemon.used_bytes),
                    Grouped(daemon.report.requests) + " requests",
                    share(daemon.report.served_tokens, r.served_tokens) + " of what is served"});
  }
  if (!result.daemons.empty()) {
    rows.push_back(
        {"asked one daemon", Grouped(result.asked.one), share(result.asked.one, r.requests)});
    rows.push_back({"asked both candidates", Grouped(result.asked.both),
                    share(result.asked.both, r.requests)});
    rows.push_back({"asked one after the other", Grouped(result.asked.in_turn),
                    share(result.asked.in_turn, r.requests)});
    rows.push_back({"bytes from their mean", Percent(result.BytesSpread(), 1)});
  }
  rows.push_back({"checkpoints written", Grouped(r.checkpoints_written)});
  rows.push_back({"checkpoints evicted", Grouped(r.evicted_checkpoints)});
  rows.push_back({"written", SizeText(r.bytes_written)});
  rows.push_back({"peak", SizeText(r.peak_bytes)});
  rows.push_back({"span of the trace", Fixed(r.span_s, 1) + " s"});
  rows.push_back({"planner CPU", Fixed(r.planner_cpu_s, 3) + " s"});
  rows.push_back({"simulated in", Fixed(result.simulated_in_s, 3) + " s"});
  rows.push_back({"memory of the simulator", SizeText(r.memory_bytes)});
  return rows;
}

std::string RunText(const RunResult& result) {
  Table table;
  for (auto& row : RunRows(result)) {
    table.Add(std::move(row));
  }
  return table.Text();
}

}  // namespace cairn::sim

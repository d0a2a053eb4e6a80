#include "services/cairn-sim/run_text.h"

#include <array>
#include <limits>

#include "services/terminal/table.h"

namespace cairn::sim {

using terminal::Fixed;
using terminal::Grouped;
using terminal::Percent;
using terminal::Table;

std::string EvictionName(const Options& options) {
  return options.strategy == "oracle" ? "oracle" : options.eviction;
}

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

std::string RunText(const RunResult& result) {
  const Report& r = result.report;
  const Options& o = result.run.sim;
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return Percent(static_cast<double>(part), static_cast<double>(whole));
  };
  Table table;
  table.Add({"trace", result.run.options.trace.Name()});
  table.Add({"strategy", o.strategy});
  table.Add({"eviction", EvictionName(o)});
  table.Add({"model", result.run.model_id});
  table.Add({"state of a checkpoint", SizeText(o.checkpoint_bytes)});
  table.Add({"KV of a token", SizeText(o.kv_bytes_per_token)});
  table.Add({"block", Grouped(o.block_tokens) + " tokens"});
  table.Add({"capacity", SizeText(o.capacity_bytes)});
  table.Add({"requests", Grouped(r.requests)});
  table.Add({"refused, too long", Grouped(r.refused_requests)});
  table.Add({"hits", Grouped(r.hits), share(r.hits, r.requests)});
  table.Add({"prompt tokens", Grouped(r.prompt_tokens)});
  table.Add({"seen before", Grouped(r.overlap_tokens), share(r.overlap_tokens, r.prompt_tokens)});
  table.Add({"served", Grouped(r.served_tokens), share(r.served_tokens, r.prompt_tokens)});
  table.Add({"gap", Grouped(r.gap_tokens), share(r.gap_tokens, r.prompt_tokens)});
  table.Add({"prefill time saved", Fixed(r.saved_s, 1) + " s", Percent(r.saved_s, r.prefill_s)});
  for (std::size_t i = 0; i < r.tiers.size(); ++i) {
    const TierReport& tier = r.tiers[i];
    const std::string& name = o.tiers[i].name;
    table.Add({name + " hits", Grouped(tier.hits), share(tier.hits, r.requests)});
    table.Add({name + " loaded", SizeText(tier.loaded_bytes), Fixed(tier.load_s, 1) + " s"});
    table.Add({name + " written", SizeText(tier.written_bytes)});
  }
  table.Add({"checkpoints written", Grouped(r.checkpoints_written)});
  table.Add({"checkpoints evicted", Grouped(r.evicted_checkpoints)});
  table.Add({"written", SizeText(r.bytes_written)});
  table.Add({"peak", SizeText(r.peak_bytes)});
  table.Add({"span of the trace", Fixed(r.span_s, 1) + " s"});
  table.Add({"planner CPU", Fixed(r.planner_cpu_s, 3) + " s"});
  table.Add({"simulated in", Fixed(result.simulated_in_s, 3) + " s"});
  table.Add({"memory of the simulator", SizeText(r.memory_bytes)});
  return table.Text();
}

}  // namespace cairn::sim

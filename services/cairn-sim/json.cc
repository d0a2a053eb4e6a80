#include "services/cairn-sim/json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "services/cairn-sim/run_text.h"
#include "services/cairn-sim/strategies.h"

namespace cairn::sim {
namespace {

using Json = nlohmann::ordered_json;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json Capacity(std::uint64_t bytes) {
  return bytes == std::numeric_limits<std::uint64_t>::max() ? Json() : Json(bytes);
}

/// What was asked for.
Json Question(const Run& run) {
  Json json = {
      {"trace", run.options.trace.Name()},    {"strategy", run.sim.strategy},
      {"eviction", EvictionName(run.sim)},    {"model", run.model_id},
      {"block_tokens", run.sim.block_tokens}, {"capacity_bytes", Capacity(run.sim.capacity_bytes)}};
  if (run.options.capacity_checkpoints != 0) {
    json["capacity_checkpoints"] = run.options.capacity_checkpoints;
  }
  json["checkpoint_bytes"] = run.sim.checkpoint_bytes;
  json["kv_bytes_per_token"] = run.sim.kv_bytes_per_token;
  json["context_tokens"] = run.sim.context_tokens;
  json["per_token_seconds"] = run.sim.cost.per_token_s;
  json["per_pair_seconds"] = run.sim.cost.per_pair_s;
  return json;
}

Json ToJson(const PositionBins& positions) {
  Json json = {{"bin_tokens", positions.bin_tokens()},
               {"overlaps", Json::array()},
               {"served", Json::array()},
               {"written", Json::array()},
               {"kept", Json::array()}};
  for (const PositionBins::Bin& bin : positions.bins()) {
    json["overlaps"].push_back(bin.overlaps);
    json["served"].push_back(bin.served);
    json["written"].push_back(bin.written);
    json["kept"].push_back(bin.kept);
  }
  return json;
}

Json TiersJson(const RunResult& result) {
  Json json = Json::array();
  for (std::size_t i = 0; i < result.report.tiers.size(); ++i) {
    const TierOptions& tier = result.run.sim.tiers[i];
    const TierReport& report = result.report.tiers[i];
    json.push_back({{"name", tier.name},
                    {"capacity_bytes", tier.capacity_bytes},
                    {"bytes_per_second", tier.bytes_per_s},
                    {"hits", report.hits},
                    {"loaded_bytes", report.loaded_bytes},
                    {"load_seconds", report.load_s},
                    {"written_bytes", report.written_bytes},
                    {"peak_bytes", report.peak_bytes}});
  }
  return json;
}

Json ToJson(const RunResult& result) {
  const Report& r = result.report;
  Json json = Question(result.run);
  json["requests"] = r.requests;
  json["refused_requests"] = r.refused_requests;
  json["hits"] = r.hits;
  json["prompt_tokens"] = r.prompt_tokens;
  json["overlap_tokens"] = r.overlap_tokens;
  json["served_tokens"] = r.served_tokens;
  json["gap_tokens"] = r.gap_tokens;
  json["prefill_seconds"] = r.prefill_s;
  json["saved_seconds"] = r.saved_s;
  json["saved_prefill_fraction"] = r.prefill_s > 0 ? r.saved_s / r.prefill_s : 0.0;
  json["checkpoints_written"] = r.checkpoints_written;
  json["evicted_checkpoints"] = r.evicted_checkpoints;
  json["bytes_written"] = r.bytes_written;
  json["peak_bytes"] = r.peak_bytes;
  json["span_seconds"] = r.span_s;
  json["planner_cpu_seconds"] = r.planner_cpu_s;
  json["simulated_in_seconds"] = result.simulated_in_s;
  json["simulator_bytes"] = r.memory_bytes;
  if (result.run.sim.eviction == "marconi") {
    json["marconi_alpha"] = r.marconi_alpha;
  }
  if (!r.tiers.empty()) {
    json["tiers"] = TiersJson(result);
  }
  if (!result.daemons.empty()) {
    json["daemons"] = Json::array();
    for (const RunResult::DaemonShare& daemon : result.daemons) {
      json["daemons"].push_back({{"requests", daemon.report.requests},
                                 {"served_tokens", daemon.report.served_tokens},
                                 {"used_bytes", daemon.used_bytes},
                                 {"bytes_written", daemon.report.bytes_written}});
    }
    json["asked"] = {
        {"one", result.asked.one}, {"both", result.asked.both}, {"in_turn", result.asked.in_turn}};
    json["bytes_from_mean"] = result.BytesSpread();
  }
  json["prices"] = Json::array();
  for (const Report::PricePoint& point : r.prices) {
    json["prices"].push_back({point.at_s, point.price});
  }
  json["positions"] = ToJson(r.positions);
  return json;
}

Json ErrorObject(std::string_view code, std::string_view message) {
  return {{"code", std::string(code)}, {"message", std::string(message)}};
}

Json ToJson(const PricedSolution& priced) {
  Json json = {{"price", priced.price},
               {"objective", priced.objective},
               {"cost", priced.cost},
               {"bytes", priced.bytes},
               {"chosen", priced.chosen}};
  if (priced.kept_kv) {
    json["kept_kv"] = *priced.kept_kv;
  }
  return json;
}

Json ToJson(const Solution& solution) {
  Json json = {{"name", solution.name}, {"priced", Json::array()}};
  for (const PricedSolution& priced : solution.priced) {
    json["priced"].push_back(ToJson(priced));
  }
  json["cost_by_count"] = solution.cost_by_count ? Json(*solution.cost_by_count) : Json();
  if (solution.budgeted) {
    json["budgeted"] = ToJson(*solution.budgeted);
    json["budgeted"]["budget"] = solution.budget;
  }
  if (!solution.unknown_fields.empty()) {
    json["unknown_fields"] = solution.unknown_fields;
  }
  return json;
}

Json ToJson(const std::vector<NamedChoice>& choices) {
  Json json = Json::array();
  for (const NamedChoice& choice : choices) {
    json.push_back({{"name", choice.name}, {"text", choice.text}});
  }
  return json;
}

}  // namespace

std::string RunJson(const RunResult& result) { return Line(ToJson(result)); }

std::string SweepJson(const std::vector<SweepCell>& cells) {
  Json json = Json::array();
  for (const SweepCell& cell : cells) {
    if (cell.result) {
      json.push_back(ToJson(*cell.result));
      continue;
    }
    Json failed = Question(cell.run);
    const Error& error = cell.result.error();
    failed["error"] = ErrorObject(ErrorName(error.code), error.message);
    json.push_back(std::move(failed));
  }
  return Line(json);
}

std::string SolveJson(const std::vector<Solution>& solutions, bool alone) {
  if (alone) {
    return Line(ToJson(solutions.front()));
  }
  Json json = Json::array();
  for (const Solution& solution : solutions) {
    json.push_back(ToJson(solution));
  }
  return Line(json);
}

std::string StrategiesJson() {
  Json json;
  json["strategies"] = ToJson(Strategies());
  json["evictions"] = ToJson(Evictions());
  return Line(json);
}

std::string ErrorJson(std::string_view code, std::string_view message) {
  Json json;
  json["error"] = ErrorObject(code, message);
  return Line(json);
}

}  // namespace cairn::sim

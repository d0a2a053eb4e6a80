#include "services/cairn-bench/replay_report.h"

#include <nlohmann/json.hpp>

#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kHost = static_cast<std::size_t>(TierKind::kHost);
constexpr auto kSsd = static_cast<std::size_t>(TierKind::kSsd);

double Share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Json ToJson(const LatencyRecorder& recorder) {
  const Latency latency = recorder.Summary();
  return {{"p50", latency.p50_us}, {"p99", latency.p99_us}, {"p999", latency.p999_us}};
}

std::uint64_t Since(std::uint64_t after, std::uint64_t before) {
  return after > before ? after - before : 0;
}

void AddLatency(Table& table, const char* name, const LatencyRecorder& recorder) {
  const Latency latency = recorder.Summary();
  table.Add({name, Microseconds(latency.p50_us), Microseconds(latency.p99_us),
             Microseconds(latency.p999_us)});
}

std::string TokensAndShare(std::uint64_t tokens, std::uint64_t whole) {
  return Grouped(tokens) + " (" + Percent(Share(tokens, whole)) + ")";
}

std::string Rate(std::uint64_t bytes, double seconds) {
  return FormatBytes(bytes) +
         (seconds > 0
              ? " (" +
                    FormatBytes(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) +
                    "/s)"
              : "");
}

}  // namespace

std::uint64_t ReplayReport::LeasesLeft() const { return Since(after.leases, before.leases); }

double ReplayReport::SavedShare() const { return Share(tally.served_tokens, tally.prompt_tokens); }

std::string ReplayJson(const ReplayReport& r) {
  const ReplayTally& t = r.tally;
  Json refusals = Json::object();
  for (const auto& [code, count] : t.refusals) {
    refusals[std::string(ErrorName(code))] = count;
  }
  const Json json = {
      {"trace", r.options->trace},
      {"model", r.name_space.model},
      {"bytes_scale", r.options->bytes_scale},
      {"block_tokens", r.name_space.block_tokens},
      {"grid_tokens", r.name_space.grid_tokens},
      {"kv_bytes_per_token", r.name_space.kv_bytes_per_token},
      {"checkpoint_bytes", r.name_space.checkpoint_bytes},
      {"clients", r.options->clients},
      {"target", r.target},
      {"plane", r.plane},
      {"planner", r.after.planner},
      {"eviction", r.after.eviction},
      {"requests", t.requests},
      {"requests_failed", t.requests_failed},
      {"prompt_tokens", t.prompt_tokens},
      {"overlap_tokens", t.overlap_tokens},
      {"served_tokens", t.served_tokens},
      {"served_tokens_by_tier",
       {{"host", t.served_tokens_by_tier[kHost]}, {"ssd", t.served_tokens_by_tier[kSsd]}}},
      {"gap_tokens", t.gap_tokens},
      {"saved_prefill_fraction", r.SavedShare()},
      {"hits", t.hits},
      {"boundaries", t.boundaries},
      {"loads", t.loads},
      {"failed_loads", t.failed_loads},
      {"corrupt_loads", t.corrupt_loads},
      {"objects_fetched", t.objects_fetched},
      {"bytes_fetched", t.bytes_fetched},
      {"objects_stored", t.objects_stored},
      {"bytes_stored", t.bytes_stored},
      {"present_stores", t.present_stores},
      {"refused_stores", t.refused_stores},
      {"refused_stores_by_code", refusals},
      {"failed_stores", t.failed_stores},
      {"match_us", ToJson(t.match)},
      {"fetch_us", ToJson(t.fetch)},
      {"store_us", ToJson(t.store)},
      {"verification_failures", t.verification_failures},
      {"checksum_failures", Since(r.after.checksum_failures, r.before.checksum_failures)},
      {"evicted_objects", Since(r.after.evicted_objects, r.before.evicted_objects)},
      {"ssd_written_bytes", Since(r.after.ssd_written_bytes, r.before.ssd_written_bytes)},
      {"ssd_device_written_bytes",
       Since(r.after.ssd_device_written_bytes, r.before.ssd_device_written_bytes)},
      {"peak_rss_bytes", r.peak_rss_bytes},
      {"cap_bytes", r.cap_bytes},
      {"index_bytes", r.after.index_bytes},
      {"leases_left", r.LeasesLeft()},
      {"status_known", r.after.known},
      {"seconds", r.seconds},
  };
  // A path that is not UTF-8 is shown with replacement characters, not thrown at the user.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ReplayText(const ReplayReport& r) {
  const ReplayTally& t = r.tally;
  const double seconds = r.seconds;
  Table table;
  table.Add({"requests", Grouped(t.requests) + " in " + Fixed(seconds, 1) + " s"});
  table.Add({"prompt tokens", Grouped(t.prompt_tokens)});
  table.Add({"  seen before", TokensAndShare(t.overlap_tokens, t.prompt_tokens)});
  table.Add({"  served by the cache", TokensAndShare(t.served_tokens, t.prompt_tokens)});
  table.Add(
      {"    from host memory", TokensAndShare(t.served_tokens_by_tier[kHost], t.prompt_tokens)});
  table.Add({"    from SSD", TokensAndShare(t.served_tokens_by_tier[kSsd], t.prompt_tokens)});
  table.Add({"  gap to recompute", TokensAndShare(t.gap_tokens, t.prompt_tokens)});
  table.Add({"fetched", Rate(t.bytes_fetched, seconds)});
  table.Add({"stored", Rate(t.bytes_stored, seconds)});
  if (r.after.ssd_device_written_bytes > r.before.ssd_device_written_bytes) {
    table.Add(
        {"written to SSD",
         FormatBytes(Since(r.after.ssd_device_written_bytes, r.before.ssd_device_written_bytes)) +
             " for " + FormatBytes(Since(r.after.ssd_written_bytes, r.before.ssd_written_bytes))});
  }
  table.Add(
      {"evicted", Grouped(Since(r.after.evicted_objects, r.before.evicted_objects)) + " objects"});
  table.Add({"wrong bytes", Grouped(t.verification_failures)});
  table.Add({"requests failed", Grouped(t.requests_failed)});
  table.Add({"loads failed", Grouped(t.failed_loads)});
  table.Add({"stores refused", Grouped(t.refused_stores)});
  if (r.after.known) {
    table.Add({"memory, peak", FormatBytes(r.peak_rss_bytes) + " (cap " + FormatBytes(r.cap_bytes) +
                                   ", index " + FormatBytes(r.after.index_bytes) + ")"});
    table.Add({"leases left", Grouped(r.LeasesLeft())});
  } else {
    table.Add({"memory, leases", "unknown, see below"});
  }
  Table latencies({"latency", "p50", "p99", "p99.9"});
  AddLatency(latencies, "match", t.match);
  AddLatency(latencies, "fetch", t.fetch);
  AddLatency(latencies, "store", t.store);
  std::string head = r.options->trace + ": " + r.name_space.model + " with bytes x " +
                     nlohmann::json(r.options->bytes_scale).dump() + ", " +
                     std::to_string(r.options->clients) +
                     (r.options->clients == 1 ? " client, " : " clients, ") +
                     (r.target == r.plane ? "embedded cache" : r.target + " by " + r.plane);
  if (r.after.known) {
    head += ", planner " + r.after.planner + ", eviction " + r.after.eviction;
  }
  const std::string unknown =
      r.after.known ? "" : "\nMemory and leases are not known: " + r.status_problem + "\n";
  return head + "\n\n" + table.Text() + "\n" + latencies.Text() + unknown;
}

}  // namespace cairn::bench
